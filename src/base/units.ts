/** Durations and sizes as people write them, and back. Pure. */

const DURATION_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Parses `10s`, `500ms`, `2h`, `1m30s` or plain seconds (`10`, `0.5`) to milliseconds; undefined if it is none. */
export function parseDurationMs(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return bounded(Number(text) * 1000);
  if (!/^(\d+(\.\d+)?(ms|s|min|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d)/g)) {
    total += Number(amount) * (DURATION_MS[unit ?? ''] ?? Number.NaN);
  }
  return bounded(total);
}

const SIZE_POWER: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4 };

/** Parses `512M`, `1.5G`, `64K`, `1GiB` or plain bytes to bytes (powers of 1024); undefined if it is none. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const power = SIZE_POWER[(match[2] ?? '').toLowerCase()];
  if (power === undefined) return undefined;
  return bounded(Math.round(Number(match[1]) * 1024 ** power));
}

function bounded(value: number): number | undefined {
  return Number.isFinite(value) && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}

/** Formats bytes for a table: `61.0M`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value}B` : `${value.toFixed(1)}${units[unit]}`;
}

/** Formats a duration for a table: `3d4h`, `2m05s`, `850ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const two = (n: number) => String(n).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400)
    return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${Math.floor(seconds / 3600) % 24}h`;
}
