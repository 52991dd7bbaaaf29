/** Did-you-mean: the known word that a mistyped one is closest to. Pure. */

const MAX_DISTANCE = 2;

/** Returns another known word that differs in case and hyphens only, else the closest within two edits; undefined if there is none. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const all = [...known];
  // `MemoryMax` and `memory_max` are `memory-max` to whoever writes them.
  const bare = (text: string) => text.toLowerCase().replaceAll(/[-_]/g, '');
  const same = all.find((candidate) => candidate !== word && bare(candidate) === bare(word));
  if (same !== undefined) return same;
  let best: string | undefined;
  let bestDistance = MAX_DISTANCE + 1;
  for (const candidate of all) {
    const distance = editDistance(word, candidate);
    // Two edits turn `x` into anything of two letters: a suggestion must keep most of the word.
    if (distance > 0 && distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Returns ``did you mean `word`?``, or undefined where nothing is close. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const close = nearest(word, known);
  return close === undefined ? undefined : `did you mean \`${close}\`?`;
}

/**
 * Optimal string alignment distance (insert, delete, replace, swap of neighbours); anything beyond
 * MAX_DISTANCE counts as MAX_DISTANCE + 1, so that a long word costs nothing.
 */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > MAX_DISTANCE) return MAX_DISTANCE + 1;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? at(beforeLast, j - 2) + 1 : Infinity;
      row.push(Math.min(at(last, j) + 1, at(row, j - 1) + 1, replaced, swapped));
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
