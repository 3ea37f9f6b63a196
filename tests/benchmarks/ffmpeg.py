"""Debian's ffmpeg as the reference of renders: what people would call it with to get the same film."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL = (("apt-get", "update", "-qq"), ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "ffmpeg"))
INSTALL_SECONDS = 300
X264 = ("-c:v", "libx264", "-crf", "20", "-threads", "2", "-g", "48", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "192k")
LUFS = -16
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """CPU seconds and the most memory of processes that ended; of several, the sum and the largest."""

    cpu: float
    mib: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(cpu=self.cpu + other.cpu, mib=max(self.mib, other.mib))


def installed() -> str:
    """Returns ffmpeg's version; "" where there is none, and none can be installed."""
    try:
        for command in INSTALL if shutil.which("ffmpeg") is None else ():
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        told = subprocess.run(("ffmpeg", "-version"), check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.split()[2]


def ended(process: "subprocess.Popen[bytes]") -> Spent:
    """Waits for a process; returns what it took."""
    peak = 0.0
    while True:
        # What the system sums up at the end counts the memory of the process that forked, too.
        peak = max(peak, _peak_mib(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}"
    return Spent(cpu=usage.ru_utime + usage.ru_stime, mib=peak)


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def ffmpeg(*arguments: str, log: Path) -> Spent:
    with log.open("wb") as file:
        command = ("ffmpeg", "-nostdin", "-hide_banner", "-y", *arguments)
        return ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file))


def concatenated(clips: Sequence[Path], out: Path) -> Spent:
    """Clips of one form one after the other, their picture copied, their sound brought to the loudness."""
    listed = out.with_suffix(".txt")
    listed.write_text("".join(f"file '{path}'\n" for path in clips))
    return _loud(("-f", "concat", "-safe", "0", "-i", str(listed)), "", ("-c:v", "copy"), out)


def conformed(clips: Sequence[Path], frames: int, size: tuple[int, int], out: Path) -> Spent:
    """Clips of many forms as one silent film."""
    inputs = [part for path in clips for part in ("-i", str(path))]
    fill = f"scale={size[0]}:{size[1]}:force_original_aspect_ratio=increase:flags=bicubic,crop={size[0]}:{size[1]}"
    shaped = ";".join(
        f"[{number}:v]fps=24,scale=iw*sar:ih,{fill},setsar=1,format=yuv420p,trim=end_frame={frames}[v{number}]"
        for number in range(len(clips))
    )
    joined = "".join(f"[v{number}]" for number in range(len(clips))) + f"concat=n={len(clips)}[v]"
    silence = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")
    mapped = ("-map", "[v]", "-map", f"{len(clips)}:a", "-shortest")
    return ffmpeg(
        *inputs,
        *silence,
        "-filter_complex",
        f"{shaped};{joined}",
        *mapped,
        *X264,
        *AAC,
        str(out),
        log=out.with_suffix(".log"),
    )


def mixed(bed: Path, lines: Sequence[tuple[Path, float]], seconds: float, out: Path) -> Spent:
    """A bed that is repeated, lines at their places, and the loudness. The lines are not measured one by one."""
    inputs = ["-stream_loop", "-1", "-i", str(bed), *(part for path, _ in lines for part in ("-i", str(path)))]
    placed = ";".join(
        f"[{number}:a]volume=6dB,adelay={round(start * 1000)}:all=1[l{number}]"
        for number, (_, start) in enumerate(lines, 1)
    )
    names = "".join(f"[l{number}]" for number in range(1, len(lines) + 1))
    speech = f"{placed};{names}amix=inputs={len(lines)}:normalize=0,asplit[s1][s2]"
    duck = "[0:a]volume=-20dB[b];[b][s1]sidechaincompress=threshold=0.02:ratio=8[d]"
    graph = f"{speech};{duck};[d][s2]amix=inputs=2:normalize=0:duration=first,atrim=end={seconds}"
    return _loud(inputs, graph, ("-vn",), out)


def _loud(inputs: Sequence[str], graph: str, picture: Sequence[str], out: Path) -> Spent:
    """Two passes of loudnorm, as its manual has it: one that measures, one that applies what was measured."""
    aim = f"loudnorm=I={LUFS}:TP=-1:LRA=20"

    def filtered(last: str) -> tuple[str, str]:
        return ("-filter_complex", f"{graph},{last}") if graph else ("-af", last)

    log = out.with_suffix(".log")
    first = ffmpeg(*inputs, *filtered(f"{aim}:print_format=json"), "-vn", "-f", "null", "-", log=log)
    found = re.findall(r"\{[^{}]*\}", log.read_text())
    told = json.loads(found[-1])
    known = ":".join(f"measured_{name}={told[f'input_{part}']}" for name, part in _MEASURED.items())
    last = f"{aim}:{known}:offset={told['target_offset']}:linear=true,aresample=48000"
    return first + ffmpeg(*inputs, *filtered(last), *picture, *AAC, str(out), log=log)


_MEASURED = {"I": "i", "TP": "tp", "LRA": "lra", "thresh": "thresh"}
