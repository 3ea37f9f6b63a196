"""Clips and sounds of any length, small and quickly made."""

import wave
from io import BytesIO

import av
import numpy as np


def clip(seconds: int, size: tuple[int, int] = (320, 180)) -> bytes:
    """An MP4 of grey frames, two a second."""
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=2)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(seconds * 2):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), number % 200, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def sound(seconds: float) -> bytes:
    """A WAV of silence."""
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(round(seconds * 8000)))
    return out.getvalue()
