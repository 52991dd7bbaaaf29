import { describe, expect, test } from 'vitest';
import { parseCrontab } from '../../../src/cron/crontab.ts';
import { jobsOf } from '../../../src/emperor/cron-jobs.ts';
import { processOf } from '../../../src/emperor/cron-process.ts';
import { jobsIn } from '../../support/cron-world.ts';
import { configOf } from '../../support/vassal-config.ts';

const PLACE = {
  env: ['PATH=/bin', 'HOME=/home/blog', 'SHELL=/bin/zsh', 'A=x=y'],
  cwd: '/home/blog/app',
};

const ofCrontab = (text: string) => jobsOf(configOf('blog'), parseCrontab(text));
const processes = (text: string) => ofCrontab(text).map((job) => processOf(job, PLACE));

describe('processOf()', () => {
  test("a job of the vassal's file has the vassal's surroundings, and sh", () => {
    const [job] = jobsIn('blog', ['cron = * * * * * echo 1%2']);
    expect(job && processOf(job, PLACE)).toEqual({ argv: ['/bin/sh', '-c', 'echo 1%2'], ...PLACE });
  });

  test('one of a crontab has its own SHELL, environment and input, and begins in the home', () => {
    const text = 'SHELL=/bin/bash\nPATH=/opt/bin\nB = "two words"\n* * * * * mail me%one%two\n';
    expect(processes(text)).toEqual([
      {
        argv: ['/bin/bash', '-c', 'mail me'],
        env: ['PATH=/opt/bin', 'HOME=/home/blog', 'SHELL=/bin/bash', 'A=x=y', 'B=two words'],
        cwd: '/home/blog',
        input: 'one\ntwo\n',
      },
    ]);
  });

  test('without SHELL it is sh, whatever the shell of the vassal is', () => {
    expect(processes('HOME=/tmp\n@daily x\n')).toMatchObject([
      { argv: ['/bin/sh', '-c', 'x'], cwd: '/tmp' },
    ]);
    expect(processes('@daily x\n')[0]).not.toHaveProperty('input');
    expect(processes('@daily x\n')[0]?.env).toContain('SHELL=/bin/sh');
  });
});

describe('jobsOf() of a crontab', () => {
  const keys = (text: string) => new Map(ofCrontab(text).map(({ command, key }) => [command, key]));

  test('a line keeps its number when lines around it, or the environment, change', () => {
    const before = keys('* * * * * one\n* * * * * two\n');
    const after = keys('# new\nA=1\n* * * * * zero\n* * * * * two\n');
    expect(after.get('two')).toBe(before.get('two'));
    expect(ofCrontab('#\n* * * * * two\n')[0]?.customer?.lineNumber).toBe(2);
  });

  test('lines that say the same, and the same job of the file, are jobs of their own', () => {
    const [cron] = jobsIn('blog', ['cron = * * * * * one']);
    const twins = ofCrontab('* * * * * one\n* * * * * one\n');
    expect(new Set([cron?.key, ...twins.map(({ key }) => key)]).size).toBe(3);
  });
});
