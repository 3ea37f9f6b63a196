/** Says numbers, times and sizes as people read them. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { signal } from "@preact/signals";

/** The time of the moment, to the second; what says "4 min ago" reads it. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 1000);

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });

export function number(value: number | bigint): string {
  return NUMBER.format(value);
}

export function date(time: Timestamp | undefined): Date | undefined {
  return time && timestampDate(time);
}

export function clock(time: Date): string {
  return TIME.format(time);
}

export function day(time: Date): string {
  return DAY.format(time);
}

/** `0.8 s`, `51 s`, `6 min`, `2 h`, `3 d`. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99) return `${Math.round(seconds)} s`;
  if (seconds < 5940) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

export function ago(time: Date | undefined): string {
  if (time === undefined) return "";
  const passed = now.value - time.getTime();
  return passed < 10_000 ? "just now" : `${span(passed)} ago`;
}

export function bytes(size: bigint | number): string {
  let value = Number(size);
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB") return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return "";
}

/** `0:05`, as players say it. */
export function length(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-5)}` : id;
}

/** `1 clip`, `2 clips`. */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}
