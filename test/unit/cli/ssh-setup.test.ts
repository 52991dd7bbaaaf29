import { describe, expect, test } from 'vitest';
import {
  parseKeys,
  planSshSetup,
  renderScript,
  renderSnippet,
  type SshSetup,
} from '../../../src/cli/ssh-setup.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh0 somebody@somewhere';
const SETUP: SshSetup = {
  vassal: 'blog',
  account: 'blog-ssh',
  keys: [KEY],
  door: '/run/emperor/doors/blog.sock',
  program: "/root/it's mine/emperor-init",
  forwardTo: [],
};

describe('parseKeys()', () => {
  test('takes the keys of *.pub files and authorized_keys', () => {
    const sk = 'sk-ssh-ed25519@openssh.com AAAAGnNr== token';
    const ecdsa = 'ecdsa-sha2-nistp256 AAAAE2Vj';
    const text = `# mine\n${KEY}\r\n\n${sk}\n${ecdsa}\n`;
    expect(parseKeys(text, 'k')).toEqual([KEY, sk, ecdsa]);
  });

  test.each([
    ['nothing', '', /it is empty/],
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\n', /private key; name the \.pub/],
    ['options, which could open what is closed', `permitopen="*:*" ${KEY}`, /without options/],
    ['anything else', 'root:x:0:0', /without options/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseKeys(text, 'k')).toThrow(message);
  });
});

describe('renderSnippet()', () => {
  const linesOf = (setup: SshSetup) =>
    renderSnippet(setup)
      .split('\n')
      .map((line) => line.trim());

  test('forces the door and closes every way of forwarding', () => {
    expect(linesOf(SETUP)).toEqual(
      expect.arrayContaining([
        ...['Match User blog-ssh', 'ForceCommand door /run/emperor/doors/blog.sock'],
        ...['AllowTcpForwarding no', 'PermitOpen none', 'PermitListen none', 'PermitTunnel no'],
        ...['AllowStreamLocalForwarding no', 'AllowAgentForwarding no', 'X11Forwarding no'],
        ...['PermitUserRC no', 'PasswordAuthentication no'],
      ]),
    );
    expect(renderSnippet(SETUP)).toMatch(/\nMatch all\n$/);
  });

  test('opens nothing but the addresses that were asked for', () => {
    const lines = linesOf({ ...SETUP, forwardTo: ['10.0.0.2', 'fd00::2'] });
    expect(lines).toContain('AllowTcpForwarding local');
    expect(lines).toContain('PermitOpen 10.0.0.2:* [fd00::2]:*');
    expect(lines).toContain('PermitListen none');
  });
});

test('planSshSetup() puts keys and snippet where nobody but root writes', () => {
  const files = planSshSetup(SETUP).flatMap((step) => (step.kind === 'file' ? [step.path] : []));
  expect(files).toEqual([
    '/etc/ssh/emperor/.hushlogin',
    '/etc/ssh/emperor/blog-ssh.keys',
    '/etc/ssh/sshd_config.d/emperor-blog-ssh.conf',
  ]);
});

test('renderScript() quotes, and says what is left to do', () => {
  const script = renderScript(SETUP);
  expect(script).toContain(`'/root/it'\\''s mine/emperor-init'`);
  expect(script).toContain("--password '*'");
  expect(script).toMatch(/ssh-user = blog-ssh\n$/);
});
