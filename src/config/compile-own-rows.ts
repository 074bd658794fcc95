import { parseTemplate, shapeOf } from '../core/match.ts';
import { nearest } from '../core/nearest.ts';
import { checkDerive } from './compile-derive.ts';
import { compileEntry } from './compile-errors.ts';
import { checkRecipes } from './compile-recipes.ts';
import type { ReadRow, RowReport } from './compile-rows.ts';
import { checkCondition } from './conditions.ts';
import { type Fault, fault, type Path } from './faults.ts';
import type { ConfigFile } from './schema.ts';
import type { Places } from './validate.ts';

/** The part of the configuration that rows are read from. */
export interface OwnRowParts {
  readonly config: ConfigFile;
  readonly rowIndexes: readonly number[];
  readonly places: Places;
}

/** Comparing hundreds of rows of another API with the whole map takes longer than all the rest. */
const HINTS_MAX = 10;

/** Reads the rows of the file: templates, entries, conditions. What is wrong goes to `faults`. */
export async function readOwnRows(
  parts: OwnRowParts,
  shipped: readonly ReadRow[],
  faults: Fault[],
): Promise<ReadRow[]> {
  const rows: ReadRow[] = [];
  const shapes = new Map<string, number>();
  const texts = shipped.map(({ template }) => template.text);
  let strangers = 0;
  const shippedShapes = new Set(shipped.map(({ template }) => shapeOf(template)));
  for (const [i, { errors, reconcile, ...row }] of (parts.config.endpoints ?? []).entries()) {
    const index = parts.rowIndexes[i] ?? i;
    const report = reporter(parts.places, index, faults);
    const template = parseTemplate(row.match);
    if (typeof template === 'string') {
      report('error', ['match'], 'is no request line', template);
      continue;
    }
    const shape = shapeOf(template);
    const before = shapes.get(shape);
    if (before !== undefined)
      report('error', ['match'], `is the row of endpoints[${before}] once more`, 'one row for the same requests');
    else if (template.method !== '*' && !shippedShapes.has(shape)) {
      strangers += 1;
      const near = strangers > HINTS_MAX ? null : nearest(row.match, texts);
      report(
        'warning',
        ['match'],
        'is no operation of the shipped map: what is unset comes from the method alone',
        null,
        near,
      );
    }
    shapes.set(shape, index);
    await checkConditions(row, report);
    await checkRecipes(reconcile ?? [], report);
    const rules = (errors ?? []).map((entry, n) =>
      compileEntry(entry, lineOf(parts.places, ['endpoints', index, 'errors', n]), (path, message, allowed) =>
        report('error', ['errors', n, ...path], message, allowed),
      ),
    );
    const recipes = (reconcile ?? []).map((entry, n) => ({
      entry,
      origin: lineOf(parts.places, ['endpoints', index, 'reconcile', n]),
    }));
    if (before === undefined)
      rows.push({ row, template, rules, recipes, origin: lineOf(parts.places, ['endpoints', index]), report });
  }
  return rows;
}

/** A row for `*` is compiled for many operations, and says what is wrong with it once. */
function reporter(places: Places, index: number, faults: Fault[]): RowReport {
  const said = new Set<string>();
  return (severity, path, message, allowed, near = null) => {
    const key = `${path.join('.')} ${message}`;
    if (said.has(key)) return;
    said.add(key);
    const at = ['endpoints', index, ...path];
    faults.push(fault(places.placeOf(at), at, message, { severity, allowed, nearest: near }));
  };
}

function lineOf(places: Places, path: Path): string {
  const { source, line } = places.placeOf(path);
  return line === null ? source : `${source}:${line}`;
}

async function checkConditions(row: ReadRow['row'], report: RowReport): Promise<void> {
  for (const name of ['idempotent_if', 'guarded_by', 'natural_key'] as const) {
    const source = row[name];
    const wrong = source ? await checkCondition(source) : null;
    if (wrong !== null) report('error', [name], wrong, null);
  }
  await checkDerive(row.idempotency, ['idempotency'], (path, wrong) => report('error', path, wrong, null));
}
