// A reporter of vitest that writes what happens as it happens, one line of JSON each, so that a run which had to be
// killed can be told about; and what reads it back.
//
// { file, event: 'begun' }   { file, event: 'running', title }   { file, event: 'test', title, state }
// { file, event: 'ended', state }   states as vitest has them: passed, failed, skipped
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

export const JOURNAL_VARIABLE = 'EMPEROR_TEST_JOURNAL';

export default class TestJournal {
  onTestModuleQueued(module) {
    note(module, { event: 'begun' });
  }
  onTestCaseReady(test) {
    note(test.module, { event: 'running', title: test.fullName });
  }
  onTestCaseResult(test) {
    note(test.module, { event: 'test', title: test.fullName, state: test.result().state });
  }
  onTestModuleEnd(module) {
    note(module, { event: 'ended', state: module.state() });
  }
}

function note(module, line) {
  const file = module.relativeModuleId;
  appendFileSync(process.env[JOURNAL_VARIABLE], `${JSON.stringify({ file, ...line })}\n`);
}

/**
 * Returns what became of each file, in the order of their beginnings: its tests as { file, title, state }, its own
 * state (null: it has not ended), and the title of the last test that is known to have begun.
 */
export function readJournal(path) {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const files = new Map();
  for (const line of text.split('\n').filter(Boolean)) {
    const { file, event, title, state } = JSON.parse(line);
    const known = files.get(file) ?? { file, state: null, running: null, tests: [] };
    files.set(file, known);
    if (event === 'running') known.running = title;
    if (event === 'test') known.tests.push({ file, title, state });
    if (event === 'ended') known.state = state;
  }
  return [...files.values()];
}
