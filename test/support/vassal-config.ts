/** A resolved vassal as tests need it: an idle one, with the changes that matter. */
import type { VassalConfig } from '../../src/config/vassal-config.ts';

export function configOf(name: string, changes: Partial<VassalConfig> = {}): VassalConfig {
  return {
    name,
    command: null,
    restart: 'always',
    chdir: null,
    env: [],
    daemons: [],
    tunedDaemons: [],
    smartDaemons: [],
    distro: 'tiny',
    hostname: name,
    uid: null,
    gid: null,
    home: null,
    opt: null,
    binds: [],
    tmpSizeBytes: 1 << 20,
    runSizeBytes: 1 << 20,
    execAsRoot: [],
    device: null,
    deviceRules: [],
    address: null,
    address6: null,
    dns: null,
    sshUser: null,
    stopSignal: 15,
    stopGraceMs: 1000,
    reloadSignal: null,
    logMaxBytes: 1 << 20,
    logFiles: 2,
    className: null,
    ...changes,
  };
}
