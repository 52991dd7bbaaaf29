import { describe, expect, test } from 'vitest';
import { costOf } from '../../../src/config/change-cost.ts';
import { INHERITED, VASSAL_OPTIONS } from '../../../src/config/options/vassal.ts';
import type { VassalConfig } from '../../../src/config/vassal-config.ts';
import { emperorOf, vassalOf } from '../../support/configuration.ts';

const before = vassalOf('command = a\n');

describe('D4: costOf()', () => {
  test('of nothing is none', () => {
    expect(costOf(before, vassalOf('command =  a\n'))).toEqual({ cost: 'none', keys: [] });
  });

  test.each([
    ['command = b\n', 'process', ['command']],
    ['command = a\nrestart = never\n', 'live', ['restart']],
    ['command = a\nstop-grace = 1s\nstop-signal = HUP\n', 'live', ['stop-signal', 'stop-grace']],
    ['command = a\nenv = A=1\nrestart = never\n', 'process', ['restart', 'env']],
    ['command = b\ndistro = trixie\nrestart = never\n', 'jail', ['command', 'restart', 'distro']],
    ['command = a\nexec-as-root = x\n', 'jail', ['exec-as-root']],
    ['command = a\nbind = /a /b\n', 'jail', ['bind']],
  ])('of %j is that of the dearest key', (lines, cost, keys) => {
    expect(costOf(before, vassalOf(lines))).toEqual({ cost, keys });
    expect(costOf(vassalOf(lines), before)).toEqual({ cost, keys });
  });

  test('of an edit of emperor.ini is that of what it changes', () => {
    const after = vassalOf('command = a\n', { emperor: emperorOf('dns = 9.9.9.9\nopt = /o\n') });
    expect(costOf(before, after)).toEqual({ cost: 'jail', keys: ['dns', 'opt'] });
  });

  test('knows every field of a vassal but its name', () => {
    const fields = [...Object.keys(VASSAL_OPTIONS), ...Object.keys(INHERITED)];
    expect(
      Object.keys(before)
        .filter((field) => field !== 'name')
        .sort(),
    ).toEqual(fields.sort());
  });

  test('takes a field that an older emperor did not know for one that says nothing', () => {
    const { dns: _, ...older } = before;
    const stored = JSON.parse(JSON.stringify(older));
    expect(costOf(stored, { ...before, dns: null })).toEqual({ cost: 'none', keys: [] });
    expect(costOf(stored, { ...before, dns: ['9.9.9.9'] })).toEqual({
      cost: 'jail',
      keys: ['dns'],
    });
  });

  test('says none of any option that a record may lack', () => {
    // Those of the first version; another with a default has to be compared with that.
    const always = [
      'distro',
      'hostname',
      'tmpSizeBytes',
      'runSizeBytes',
      'logMaxBytes',
      'logFiles',
    ];
    const silent = vassalOf('');
    const dear = Object.entries({ ...VASSAL_OPTIONS, ...INHERITED })
      .filter(([field, { reload }]) => reload !== 'live' && !always.includes(field))
      .map(([field]) => field);
    expect(dear).toEqual(expect.arrayContaining(['dns', 'binds']));
    for (const field of dear) {
      const { [field as keyof VassalConfig]: _, ...older } = silent;
      expect([field, costOf(older as VassalConfig, silent).cost]).toEqual([field, 'none']);
    }
  });
});
