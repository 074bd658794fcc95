import { z } from 'zod';
import { configFile } from './schema.ts';

/** As much of JSON Schema as the declaration makes. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly patternErrorMessage?: string;
}

/** The JSON Schema of the configuration file (draft 2020-12). */
export function configJsonSchema(): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(configFile, { io: 'input' });
  return { $schema, title: 'Holdfast configuration', ...schema } as JsonSchema;
}

/** The schema without the choice of `null`. */
export function withoutNull(schema: JsonSchema): JsonSchema {
  const options = schema.anyOf?.filter(({ type }) => type !== 'null');
  if (options === undefined) return schema;
  const { anyOf: _, ...rest } = schema;
  return options.length === 1 ? { ...options[0], ...rest } : { ...rest, anyOf: options };
}

/** Every default of a section, unset ones left out. */
export function defaultsOf(schema: JsonSchema): Record<string, unknown> {
  const defaults: Record<string, unknown> = {};
  for (const [name, declared] of Object.entries(schema.properties ?? {})) {
    const child = withoutNull(declared);
    if (child.default !== undefined && child.default !== null) defaults[name] = child.default;
    else if (child.properties !== undefined) {
      const inner = defaultsOf(child);
      if (Object.keys(inner).length > 0) defaults[name] = inner;
    }
  }
  return defaults;
}

/** What a key allows, in words. */
export function allowedBy(declared: JsonSchema): string {
  const schema = withoutNull(declared);
  if (schema.patternErrorMessage !== undefined) return schema.patternErrorMessage;
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`${String(word)}\``).join(', ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const).replaceAll('"', '')}\``;
  if (schema.anyOf !== undefined) return schema.anyOf.map(allowedBy).join(', or ');
  const types = [schema.type ?? []].flat();
  if (types.includes('boolean')) return '`true`, `false`';
  if (types.includes('integer') || types.includes('number')) {
    return `${types.includes('integer') ? 'whole number' : 'number'}, ${schema.minimum} to ${schema.maximum}`;
  }
  if (types.includes('array')) return `list of: ${allowedBy(schema.items ?? {})}`;
  if (schema.properties !== undefined) return `{ ${Object.keys(schema.properties).join(', ')} }`;
  return types.includes('object') ? 'names and values' : 'text';
}
