/** What the doctor looks at. Gathering only; judge.ts says what it means. Changes nothing on the machine. */
import type { NamespaceName } from '../../config/kinds/lists.ts';
import type { ListedDistro } from '../../distro/keep.ts';
import type { Lack } from '../../emperor/home-needs.ts';
import type { Capability } from '../../linux/capabilities.ts';
import type { ForwardDrop } from '../../network/preflight.ts';
import type { NameServers } from '../../network/resolv.ts';
import type { SelfTest } from '../../router/self-test.ts';
import type { HostSettings } from './host-settings.ts';

export type Namespace = Exclude<NamespaceName, 'cgroup'>;

/** Null where something works, else why it does not. */
export type Failure = string | null;

export interface NetworkFacts {
  /** Of the router, such as emperor0. */
  readonly device: string;
  readonly hasNat: boolean;
  /** How packets would go; or why there can be no router. */
  readonly packets: SelfTest | Error;
  /** Base chains of other firewalls; or why they are not known. */
  readonly forwardDrops: readonly ForwardDrop[] | Error;
  readonly nameServers: NameServers;
  /** Those that emperor.ini names. */
  readonly dns: readonly string[];
}

export interface Facts {
  readonly uid: number;
  readonly missingCapabilities: readonly Capability[];
  /** `6.18.0-amd64` */
  readonly kernelRelease: string;
  readonly namespaces: Readonly<Record<Namespace, Failure>>;
  /** Controllers of cgroups by which limits can be kept. */
  readonly controllers: readonly string[];
  readonly cgroupKind: 'v2' | 'v1' | null;
  readonly openat2: Failure;
  /** /proc/sys/kernel/seccomp/actions_avail */
  readonly seccompActions: readonly string[];
  readonly leases: readonly { readonly directory: string; readonly failure: Failure }[];
  readonly tun: Failure;
  /** Null where emperor.ini names no router. */
  readonly network: NetworkFacts | null;
  /** What homes with a size lack. */
  readonly homeImages: Lack | null;
  readonly inotifyInstances: number | null;
  readonly inotifyWatches: number | null;
  readonly openFiles: number | null;
  readonly pidMax: number | null;
  readonly ptyMax: number | null;
  readonly ptyUsed: number | null;
  readonly builders: readonly string[];
  readonly isProgramBuilt: boolean;
  readonly distrosDirectory: string;
  readonly distros: readonly ListedDistro[];
  /** Of emperor.ini; null where there is none. */
  readonly configErrors: number | null;
  /** How the host's kernel is set up. */
  readonly hostSettings: HostSettings;
  readonly nowMs: number;
  /** When this program was built; the clock cannot be before it. */
  readonly builtMs: number;
}
