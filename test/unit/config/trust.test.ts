import { describe, expect, test } from 'vitest';
import { judgeTrust } from '../../../src/config/trust.ts';
import { brief, loadEmperor } from '../../support/configuration.ts';

const TENANT = 200_007;
const PANEL = 1005;

function judge(uid: number, mode = 0o644, gid = uid) {
  return judgeTrust({
    file: '/v/blog.ini',
    owner: { uid, gid, mode },
    vassalUid: TENANT,
    trustedOwners: [0, PANEL],
  });
}

function refusal(...owner: Parameters<typeof judge>): string {
  const verdict = judge(...owner);
  if (verdict.kind !== 'refused') return verdict.kind;
  const { code, message, hint } = verdict.diagnostic;
  return `${code}: ${message}; ${hint}`;
}

describe('judgeTrust()', () => {
  test("takes root's files and those of trusted owners for the operator's", () => {
    expect(judge(0)).toEqual({ kind: 'operator' });
    expect(judge(PANEL)).toEqual({ kind: 'operator' });
  });

  test("takes a file of the vassal's own uid for the tenant's, with the gid of that number", () => {
    expect(judge(TENANT)).toEqual({ kind: 'tenant', uid: TENANT, gid: TENANT });
    // A setgid directory gives a file a group that the tenant is not in.
    expect(judge(TENANT, 0o644, 0)).toEqual({ kind: 'tenant', uid: TENANT, gid: TENANT });
  });

  test('refuses a foreign owner, and says what to do', () => {
    expect(refusal(12_345)).toMatch(
      /^foreign-owner: .*12345.*; chown root \/v\/blog\.ini, or .*`trusted-owners`/,
    );
    expect(
      judgeTrust({
        file: 'x',
        owner: { uid: TENANT, gid: TENANT, mode: 0o644 },
        vassalUid: undefined,
        trustedOwners: [0],
      }).kind,
    ).toBe('refused');
  });

  test.each([0, PANEL, TENANT])('refuses what everybody can write, whoever owns it (%i)', (uid) => {
    expect(refusal(uid, 0o646)).toMatch(/^file-open: .*everybody.*; chmod o-w \/v\/blog\.ini$/);
  });

  test("refuses what a group can write, unless it is root's or the owner's own", () => {
    expect(refusal(0, 0o664, 100)).toMatch(/^file-open: .*group 100.*; chmod g-w/);
    expect(refusal(TENANT, 0o664, 100)).toMatch(/^file-open/);
    expect(judge(0, 0o664, 0).kind).toBe('operator');
    expect(judge(PANEL, 0o664, 0).kind).toBe('operator');
    expect(judge(PANEL, 0o664, PANEL).kind).toBe('operator');
    expect(judge(TENANT, 0o664, TENANT).kind).toBe('tenant');
  });
});

describe('emperor.ini', () => {
  const text = '[emperor]\nvassals = v\ntrusted-owners = panel 77\n';

  test('trusts root, its own owner and those it names', () => {
    const { config } = loadEmperor(text, { owner: { uid: 1000, gid: 1000, mode: 0o664 } });
    expect(config?.trustedOwners).toEqual([0, 1000, PANEL, 77]);
  });

  test('is refused where everybody can write to it', () => {
    const { config, diagnostics } = loadEmperor(text, { owner: { uid: 0, gid: 0, mode: 0o646 } });
    expect(config).toBeUndefined();
    expect(brief(diagnostics)).toEqual(['0:0 file-open']);
  });
});
