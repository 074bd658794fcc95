import { configJsonSchema } from './json-schema.ts';
import { renderFile } from './render.ts';

/** Writes the starter file of `holdfast init`: every key explained, none set. */
export function starterFile(): string {
  return renderFile(configJsonSchema(), {
    schemaAt: './holdfast.schema.json',
    head: [
      '`holdfast schema > holdfast.schema.json` lets editors complete and check this file; `holdfast check` checks it.',
      'What is commented out is the default. Durations: 250ms, 30s, 5m, 24h. Sizes: 64KiB, 10MiB. ${NAME} and',
      '${NAME:-default} take environment variables. Paths of files start at the folder of this file.',
    ],
    commentedOut: true,
  });
}
