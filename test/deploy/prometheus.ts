import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child } from '../e2e/child.ts';

/** One series of an answer; NaN and infinities are left out of its values. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

const READY_TRIES = 600;
const SPAN_SECONDS = 60;

/** A Prometheus of its own, which scrapes and evaluates every second; stopped and forgotten by `stop`. */
export class Prometheus {
  readonly #child: Child;
  readonly #folder: string;
  readonly #origin: string;

  private constructor(child: Child, folder: string, origin: string) {
    this.#child = child;
    this.#folder = folder;
    this.#origin = origin;
  }

  /** Starts one that scrapes `target` (host:port) as job "holdfast", and waits until it is ready. */
  static async start(program: string, target: string, ruleFile: string): Promise<Prometheus> {
    const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-prometheus-'));
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [ruleFile],
      scrape_configs: [{ job_name: 'holdfast', static_configs: [{ targets: [target] }] }],
    };
    const file = path.join(folder, 'prometheus.yml');
    writeFileSync(file, JSON.stringify(config));
    const address = `127.0.0.1:${await freePort()}`;
    const args = [`--config.file=${file}`, `--storage.tsdb.path=${folder}/tsdb`, `--web.listen-address=${address}`];
    const child = new Child(program, args);
    const prometheus = new Prometheus(child, folder, `http://${address}`);
    await prometheus.#ready();
    return prometheus;
  }

  /** What a query gave in the last minute, by the second. Throws on an error of the query. */
  async query(expr: string): Promise<readonly Series[]> {
    const end = Date.now() / 1000;
    const parameters = { query: expr, start: String(end - SPAN_SECONDS), end: String(end), step: '1' };
    const { result } = (await this.ask('query_range', parameters)) as {
      result: { metric: Record<string, string>; values: [number, string][] }[];
    };
    return result
      .map(({ metric, values }) => ({ metric, values: values.map(([, text]) => Number(text)).filter(Number.isFinite) }))
      .filter(({ values }) => values.length > 0);
  }

  /** A call of the HTTP API; `data` of its answer. */
  async ask(call: string, parameters: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const response = await fetch(`${this.#origin}/api/v1/${call}?${new URLSearchParams(parameters).toString()}`);
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string };
    if (status !== 'success') throw new Error(`${call} ${JSON.stringify(parameters)}: ${error}`);
    return data;
  }

  async stop(): Promise<void> {
    if (this.#child.ended === null) this.#child.signal('SIGTERM');
    await this.#child.exit();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    for (let tries = 0; tries < READY_TRIES; tries += 1) {
      const status = await fetch(`${this.#origin}/-/ready`).then(
        (response) => response.status,
        () => 0,
      );
      if (status === 200) return;
      if (this.#child.ended !== null) throw new Error(`Prometheus ended: ${this.#child.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('Prometheus never became ready');
  }
}

/** A port that was free a moment ago: Prometheus takes no 0 that it would tell us. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
