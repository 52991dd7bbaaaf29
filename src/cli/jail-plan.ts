/** A jail plan for people: one numbered line a step, as errors of the C program count them. Pure. */
import type { JailPlan, Step } from '../jail/plan.ts';
import { printable } from './printable.ts';

export function renderJailPlan({ name, namespaces, steps }: JailPlan): string {
  const head = `${name}: namespaces ${namespaces.join(' ')}`;
  const lines = steps.map((step, index) => `${String(index).padStart(3)} ${renderStep(step)}`);
  return `${[head, ...lines].join('\n')}\n`;
}

function renderStep({ op, ...fields }: Step): string {
  const words = Object.entries(fields).map(([key, value]) => `${key}=${renderValue(key, value)}`);
  return printable([op.padEnd(12), ...words].join(' ').trimEnd());
}

function renderValue(key: string, value: unknown): string {
  // Base64 since it came as JSON; nobody reads it.
  if (key === 'filter') return `${Buffer.from(String(value), 'base64').length / 8} instructions`;
  if (key === 'mode') return `0${Number(value).toString(8)}`;
  if (Array.isArray(value)) return value.join(',') || 'none';
  return /[\s"]/.test(String(value)) ? JSON.stringify(value) : String(value);
}
