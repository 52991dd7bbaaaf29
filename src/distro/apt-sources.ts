/**
 * sources.list(5), both spellings: which mirrors this machine takes its packages from, so that a distro
 * comes from the same ones. Pure.
 */

/** One archive of binary packages. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** `signed-by`, `trusted`, …, as one-line options. */
  readonly options: readonly string[];
}

/** Options that hold for whoever takes packages from there; `arch` and such are the host's own business. */
const KEPT_OPTIONS = ['signed-by', 'trusted', 'check-valid-until', 'check-date'];

/** Reads a `.list` file: `deb [option=value …] URI SUITE COMPONENT…` a line. */
export function parseListFile(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line): readonly AptSource[] => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) return [];
    const [, options = '', uri = '', suite = '', components = ''] = match;
    return [{ uri, suite, components: words(components), options: keptOptions(words(options)) }];
  });
}

/** Reads a `.sources` file: deb822 paragraphs. A key embedded in it has no file to name and is left out. */
export function parseSourcesFile(text: string): readonly AptSource[] {
  return paragraphsOf(text).flatMap((fields): readonly AptSource[] => {
    const list = (key: string) => words(fields.get(key) ?? '');
    if (!list('types').includes('deb') || fields.get('enabled') === 'no') return [];
    const options = keptOptions(
      [...fields].map(([key, value]) => `${key}=${value}`).filter((option) => !/\s/.test(option)),
    );
    return list('uris').flatMap((uri) =>
      list('suites').map((suite) => ({ uri, suite, components: list('components'), options })),
    );
  });
}

function paragraphsOf(text: string): readonly ReadonlyMap<string, string>[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines
    .join('\n')
    .split(/\n\s*\n/)
    .map((paragraph) => {
      const unfolded = paragraph.replaceAll(/\n[ \t]+/g, ' ');
      return new Map(
        [...unfolded.matchAll(/^([A-Za-z-]+):[ \t]*(.*)$/gm)].map(([, key = '', value = '']) => [
          key.toLowerCase(),
          value.trim(),
        ]),
      );
    });
}

function keptOptions(options: readonly string[]): readonly string[] {
  return options.filter((option) =>
    KEPT_OPTIONS.includes(option.split('=')[0]?.toLowerCase() ?? ''),
  );
}

function words(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/**
 * Returns the machine's sources of `suite` with its updates; where it has none, those of its own Debian
 * release with the suite put in; empty if it takes Debian from nowhere.
 */
export function sourcesOfSuite(suite: string, all: readonly AptSource[]): readonly AptSource[] {
  const debian = all.filter(({ components }) => components.includes('main'));
  const exact = debian.filter((source) =>
    [suite, `${suite}-updates`, `${suite}-security`].includes(source.suite),
  );
  if (exact.some((source) => source.suite === suite)) return unique(exact);
  const base = debian.find((source) =>
    debian.some((other) => other.suite === `${source.suite}-security`),
  );
  return base ? [{ ...base, suite, components: ['main'] }] : [];
}

function unique(sources: readonly AptSource[]): readonly AptSource[] {
  const seen = new Map(sources.map((source) => [formatSource(source), source]));
  return [...seen.values()];
}

/** Returns the one-line spelling. */
export function formatSource({ uri, suite, components, options }: AptSource): string {
  const bracket = options.length === 0 ? '' : `[${options.join(' ')}] `;
  return `deb ${bracket}${uri} ${suite} ${components.join(' ')}`;
}

/** Returns the keyring file that the source names, if it names one. */
export function keyringOf(source: AptSource): string | null {
  const option = source.options.find((each) => /^signed-by=\//i.test(each));
  return option?.slice(option.indexOf('=') + 1) ?? null;
}
