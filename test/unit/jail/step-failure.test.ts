import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { StepOf } from '../../../src/jail/encode.ts';
import type { JailPlan, Step } from '../../../src/jail/plan.ts';
import { stepFailure } from '../../../src/jail/step-failure.ts';
import { errnoName } from '../../../src/linux/errno.ts';
import { ONE_OF_EACH } from '../../support/steps.ts';

const PLAN: JailPlan = {
  name: 'blog',
  generation: 1,
  hash: 'h',
  namespaces: ['fs', 'ipc', 'uts', 'net', 'pid'],
  steps: ONE_OF_EACH,
};
const ERRNO = constants.errno;

/** The sentence about the step `op` of PLAN. */
function sentence(op: Step['op'], errno: number, detail = ''): string {
  const step = ONE_OF_EACH.findIndex((one) => one.op === op);
  return stepFailure(PLAN, { step, errno, detail });
}

describe('stepFailure()', () => {
  test('tells for every step its number, its name, the errno, and what could not be done', () => {
    for (const [step, { op }] of ONE_OF_EACH.entries()) {
      for (const errno of Object.values(ERRNO)) {
        const text = stepFailure(PLAN, { step, errno, detail: '/some/where' });
        expect(text).toMatch(/^Cannot [a-z][^\n]* in vassal blog \(step /);
        expect(text).toContain(`(step ${step + 1} \`${op}\`): ${errnoName(errno)}`);
        expect(text).not.toMatch(/undefined|\bnull\b(?<!\/dev\/null)|\[object/);
      }
    }
  });

  test('names the command that makes a missing mount point', () => {
    expect(sentence('proc', ERRNO.ENOENT, '/proc')).toBe(
      'Cannot mount /proc in vassal blog (step 7 `proc`): ENOENT, the distro has no directory ' +
        '/proc; create it with `mkdir -p /distros/bookworm/proc`',
    );
  });

  test('tells a missing source of a bind from a missing target', () => {
    expect(sentence('bind', ERRNO.ENOENT, '/srv/vassals/blog')).toContain(
      '/srv/vassals/blog does not exist; create it or remove the bind',
    );
    expect(sentence('bind', ERRNO.ENOENT, '/home/blog')).toContain(
      'there is no /home/blog in the distro; create the mount point in /distros/bookworm',
    );
  });

  test('says of an image that it is damaged only where it could not be mounted', () => {
    const { source, target } = ONE_OF_EACH.find(({ op }) => op === 'image') as StepOf<'image'>;
    const damaged = `it is damaged; mend it with \`e2fsck -f ${source}\``;
    for (const errno of [ERRNO.EINVAL, ERRNO.EIO]) {
      expect(sentence('image', errno, target)).toContain(damaged);
      expect(sentence('image', errno, '/dev/loop3')).toMatch(/: E[A-Z]+, at \/dev\/loop3$/);
      expect(sentence('image', errno, source)).not.toContain('damaged');
    }
    expect(sentence('image', ERRNO.EINVAL, source)).toContain('its file system has no leases');
  });

  test('says of a symlink as mount point to replace it', () => {
    expect(sentence('tmpfs', ERRNO.ELOOP, '/tmp')).toContain(
      '/distros/bookworm/tmp is or lies below a symlink; make it a real directory',
    );
  });

  test('tells how a hook ended and where its output is', () => {
    expect(sentence('hook', ERRNO.ECHILD, 'ifconfig lo up: exit status 127')).toBe(
      'Cannot run the hook `ifconfig lo up` in vassal blog (step 23 `hook`): ECHILD, it ended ' +
        'with exit status 127; what it printed is in `emperor logs blog --label hook`',
    );
    expect(sentence('hook', ERRNO.ETIMEDOUT)).toContain('it was not done within 30 s');
  });

  test('tells which option contradicts what hooks set', () => {
    expect(sentence('address', ERRNO.EEXIST, '192.168.0.3/24')).toContain(
      '`exec-as-root` set 192.168.0.3/24, but `address` is 192.168.0.2/24; make them agree',
    );
    expect(sentence('address', ERRNO.EEXIST, 'fd00::3/64')).toContain('`address6` is fd00::2/64');
    expect(sentence('address', ERRNO.EADDRNOTAVAIL, 'uwsgi0')).toContain('set `address` in');
  });

  test('names a second init that is alive', () => {
    expect(sentence('lock', ERRNO.EAGAIN)).toContain('another init of blog is alive');
  });

  test('shows a detail that the plan does not name, and only then', () => {
    expect(sentence('mask', ERRNO.EIO, '/proc/else')).toMatch(/: EIO, at \/proc\/else$/);
    expect(sentence('mask', ERRNO.EIO, '/proc/kcore')).toMatch(/: EIO$/);
  });

  test('tells a failure outside of any step', () => {
    const failed = { step: null, errno: ERRNO.EEXIST, detail: '' };
    expect(stepFailure(PLAN, failed)).toBe(
      'Cannot make the jail of vassal blog: EEXIST, an init of blog is alive; stop it first',
    );
    const unexpected = { step: null, errno: ERRNO.ECHILD, detail: 'init ended unexpectedly' };
    expect(stepFailure(PLAN, unexpected)).toBe(
      'Cannot make the jail of vassal blog: ECHILD, init ended unexpectedly',
    );
  });

  test('keeps its words about a step that the plan does not have', () => {
    const failed = { step: 4711, errno: ERRNO.EPERM, detail: 'x' };
    expect(stepFailure(PLAN, failed)).toContain('Cannot make the jail of vassal blog: EPERM, x');
  });

  test('lets no control character through to a terminal', () => {
    expect(sentence('mask', ERRNO.EIO, '/a\u001b]0;x\u0007\n')).toContain('/a\\x1b]0;x\\x07\\x0a');
  });
});
