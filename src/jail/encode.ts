/**
 * A jail plan as the fields of a LAUNCH request. Pure; which field of a step has which tag is told beside
 * OP in wire.ts, and the C program reads them by that table.
 */
import { encodeFields, type Field, type FieldValue, type Tag } from './frames.ts';
import {
  type AddressName,
  COMMON_STEPS,
  type JailPlan,
  type MountFlag,
  type Step,
} from './plan.ts';
import { EXACT, MOUNT, NAMESPACE, type NamespaceName, OP, TAG } from './wire.ts';

export type OpName = Step['op'];
export type StepOf<Op extends OpName> = Extract<Step, { readonly op: Op }>;

const RLIM_INFINITY = 2n ** 64n - 1n;

const MOUNT_BITS: Readonly<Record<MountFlag, number>> = {
  ro: MOUNT.READ_ONLY,
  nosuid: MOUNT.NOSUID,
  nodev: MOUNT.NODEV,
  noexec: MOUNT.NOEXEC,
};

const EXACT_BITS: Readonly<Record<AddressName, number>> = {
  address: EXACT.ADDRESS,
  address6: EXACT.ADDRESS6,
};

type Operands = { readonly [Op in OpName]: (step: StepOf<Op>) => readonly Field[] };

const none = () => [];
const source = (step: { readonly source: string }): Field => [TAG.SOURCE, step.source];
const target = (step: { readonly target: string }): Field => [TAG.TARGET, step.target];
const text = (step: { readonly text: string }): Field => [TAG.TEXT, step.text];
const mode = (step: { readonly mode: number }): Field => [TAG.MODE, step.mode];
const flags = (step: { readonly flags: readonly MountFlag[] }): Field => [
  TAG.FLAGS,
  mountBits(step.flags),
];
const optional = (tag: Tag, value: string | null): readonly Field[] =>
  value === null ? [] : [[tag, value]];
const owner = (step: { readonly uid: number; readonly gid: number }): readonly Field[] => [
  [TAG.UID, step.uid],
  [TAG.GID, step.gid],
];
const limit = (tag: Tag, value: number): Field => [
  tag,
  value === Number.POSITIVE_INFINITY ? RLIM_INFINITY : value,
];

const OPERANDS: Operands = {
  lock: (step) => [source(step)],
  cgroup: (step) => [[TAG.SOURCE, step.init], [TAG.TARGET, step.payload], ...owner(step)],
  join: (step) => [source(step)],
  log: (step) => [
    source(step),
    ...owner(step),
    [TAG.LENGTH, step.maxBytes],
    [TAG.COUNT, step.files],
  ],
  listen: (step) => [source(step)],
  private: none,
  root: (step) => [source(step)],
  proc: (step) => [target(step), [TAG.NUMBER, step.hidesOthers ? 1 : 0]],
  tmpfs: (step) => [
    target(step),
    [TAG.LENGTH, step.sizeBytes],
    [TAG.COUNT, step.inodes],
    mode(step),
    flags(step),
  ],
  devpts: (step) => [target(step), [TAG.COUNT, step.max]],
  mqueue: (step) => [target(step)],
  device: (step) => [target(step), mode(step), [TAG.NUMBER, (step.major << 8) | step.minor]],
  directory: (step) => [target(step), mode(step)],
  file: (step) => [target(step), mode(step), [TAG.BYTES, Buffer.from(step.content, 'utf8')]],
  symlink: (step) => [target(step), text(step)],
  bind: (step) => [source(step), target(step), flags(step)],
  'bind-inside': (step) => [source(step), target(step), flags(step)],
  mask: (step) => [target(step)],
  'read-only': (step) => [target(step)],
  hostname: (step) => [text(step)],
  sysctl: (step) => [target(step), text(step)],
  loopback: none,
  home: (step) => [source(step), ...owner(step)],
  image: (step) => [source(step), target(step), ...owner(step)],
  hook: (step) => [
    [TAG.TEXT, step.command],
    [TAG.LENGTH, step.timeoutMs],
  ],
  sweep: none,
  gate: (step) => [[TAG.LENGTH, step.timeoutMs]],
  pivot: none,
  rlimit: (step) => [
    [TAG.NUMBER, step.resource],
    limit(TAG.LENGTH, step.soft),
    limit(TAG.COUNT, step.hard),
  ],
  merge: none,
  drop: owner,
  seccomp: (step) => [[TAG.BYTES, step.filter]],
  tun: (step) => [target(step), [TAG.LENGTH, step.mtu], [TAG.COUNT, step.queuePackets]],
  address: (step) => [
    target(step),
    ...optional(TAG.ADDRESS, step.address),
    ...optional(TAG.GATEWAY, step.gateway),
    ...optional(TAG.ADDRESS6, step.address6),
    ...optional(TAG.GATEWAY6, step.gateway6),
    [TAG.FLAGS, step.exact.reduce((bits, name) => bits | EXACT_BITS[name], 0)],
  ],
};

/** Returns the fields of the LAUNCH frame for `plan`. */
export function launchFields(plan: JailPlan): readonly Field[] {
  return [
    [TAG.NAME, plan.name],
    [TAG.GENERATION, plan.generation],
    [TAG.HASH, plan.hash],
    [TAG.FLAGS, namespaceBits(plan.namespaces)],
    [TAG.PLAN, plan.steps.map((step): Field => [TAG.ENTRY, entryOf(step)])],
  ];
}

const encoded = new Map<Step, Uint8Array>();

function entryOf(step: Step): FieldValue {
  if (!COMMON_STEPS.has(step)) return stepFields(step);
  const bytes = encoded.get(step) ?? encodeFields(stepFields(step));
  encoded.set(step, bytes);
  return bytes;
}

/** Returns the fields of one step's ENTRY, OP first. */
export function stepFields(step: Step): readonly Field[] {
  // The table is total by its type; TypeScript cannot see that step.op picks the fitting function.
  const operands = OPERANDS[step.op] as (step: Step) => readonly Field[];
  return [[TAG.OP, opOf(step)], ...operands(step)];
}

/** The number of each step's OP, whose name is the same in capitals. */
const OP_NUMBERS = new Map(
  Object.entries(OP).map(([name, number]) => [name.toLowerCase().replaceAll('_', '-'), number]),
);

/** Returns the number of a step's OP. */
export function opOf(step: Step): number {
  return OP_NUMBERS.get(step.op) ?? 0;
}

/** Returns the bits of LAUNCH's FLAGS for these namespaces. */
export function namespaceBits(names: readonly NamespaceName[]): number {
  return names.reduce((bits, name) => bits | NAMESPACE[name], 0);
}

/** Returns the bits of a mount's FLAGS. */
export function mountBits(names: readonly MountFlag[]): number {
  return names.reduce((bits, name) => bits | MOUNT_BITS[name], 0);
}
