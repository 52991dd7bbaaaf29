/** The JSON schema of a vassal file, taken as an object: keys, their texts, lists where a key may repeat. */
import { DIRECTIVES } from '../options/directives.ts';
import { type Option, spellingsOf } from '../options/option.ts';
import { VASSAL_OPTIONS } from '../options/vassal.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export function vassalSchema(): JsonSchema {
  const options = Object.values(VASSAL_OPTIONS).flatMap(propertiesOf);
  const directives = DIRECTIVES.filter(({ where }) => where === 'both').map(
    ({ name, summary }) => [name, { type: 'string', description: summary }] as const,
  );
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A vassal file of Emperor, section [vassal]',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries([...options, ...directives]),
  };
}

function propertiesOf(option: Option): readonly (readonly [string, JsonSchema])[] {
  return spellingsOf(option).map((name) => [name, propertyOf(option)]);
}

function propertyOf(option: Option): JsonSchema {
  const one = { type: 'string', ...option.kind.schema };
  return {
    description: option.summary,
    ...(option.many ? { anyOf: [one, { type: 'array', items: one }] } : one),
    ...(option.default === null ? {} : { default: option.default }),
    examples: [option.example],
    'x-kind': option.kind.name,
    'x-reload': option.reload,
    'x-trust': option.trust,
  };
}
