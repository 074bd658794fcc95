/** Writes the documents that are made from the declaration: the commented file and the docs tables. */

import { stringify } from 'yaml';
import { allowedBy, type JsonSchema, withoutNull } from './json-schema.ts';

const WIDTH = 118;

/** How the commented file is written. */
export interface FileStyle {
  /** Where the JSON Schema lies, seen from the file. */
  readonly schemaAt: string;
  /** Lines below the first. */
  readonly head: readonly string[];
  /** Values stand there as comments only, so that the defaults of a later version come through. */
  readonly commentedOut: boolean;
}

/** Writes a configuration file with every key, its sentence and its default. */
export function renderFile(schema: JsonSchema, style: FileStyle): string {
  const lines = [
    `# yaml-language-server: $schema=${style.schemaAt}`,
    ...style.head.map((line) => `# ${line}`.trimEnd()),
  ];
  for (const [name, declared] of Object.entries(schema.properties ?? {})) {
    const written = renderKey(name, declared, '');
    const keep = !style.commentedOut || name === 'version';
    lines.push('', ...(keep ? written : written.map((line) => (isComment(line) ? line : `#${line}`))));
  }
  return `${lines.join('\n')}\n`;
}

function isComment(line: string): boolean {
  return line.trimStart().startsWith('#');
}

function renderKey(name: string, declared: JsonSchema, indent: string): string[] {
  const schema = withoutNull(declared);
  const says = comment(sentenceOf(schema), indent);
  const value = (text: string, mark: string): string[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => `${indent}${mark}${line}`);
  if (schema.default !== undefined) return [...says, ...value(stringify({ [name]: schema.default }), '')];
  if (schema.examples !== undefined) return [...says, ...value(stringify({ [name]: schema.examples[0] }), '#')];
  const inner = Object.entries(schema.properties ?? {});
  if (inner.length === 0) return [...says, `${indent}${name}: null`];
  return [...says, `${indent}${name}:`, ...inner.flatMap(([key, child]) => renderKey(key, child, `${indent}  `))];
}

function sentenceOf(schema: JsonSchema): string {
  const says = schema.description ?? '';
  const isPlain = schema.properties !== undefined || schema.examples !== undefined;
  return isPlain ? says : `${says} (${allowedBy(schema).replaceAll('`', '')})`;
}

function comment(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + word.length + 3 > WIDTH) {
      lines.push(`${indent}# ${line}`);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, `${indent}# ${line}`];
}

/** Writes the table of all keys below a schema, one row each, sections opened. */
export function renderTable(schema: JsonSchema, prefix = ''): string {
  const rows = ['| key | default | allowed | |', '|---|---|---|---|', ...tableRows(schema, prefix)];
  return rows.join('\n');
}

function tableRows(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, declared]) => {
    const child = withoutNull(declared);
    const says = cell(child.description ?? '');
    const path = `\`${prefix}${name}\``;
    const opened = child.properties !== undefined;
    if (opened) return [`| ${path} | | | ${says} |`, ...tableRows(child, `${prefix}${name}.`)];
    const fallback =
      child.default === undefined || child.default === null
        ? ''
        : `\`${JSON.stringify(child.default).replaceAll('"', '')}\``;
    return [`| ${path} | ${fallback} | ${cell(allowedBy(child))} | ${says} |`];
  });
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
