import { execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { DeployTools } from '../../scripts/deploy-tools.ts';

const run = promisify(execFile);
export const PROJECT = path.resolve(import.meta.dirname, '../..');
export const CHART = path.join(PROJECT, 'helm/holdfast');

/** Its shape follows from the kind, which the schemas check. */
type Shapeless = ReturnType<typeof JSON.parse>;

/** A Kubernetes object, as far as the tests look into it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: Shapeless;
  readonly data?: Readonly<Record<string, string>>;
}

/** What a command printed and how it ended; never throws. */
export async function ran(
  command: string,
  args: readonly string[],
  input?: string,
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? -1));
  });
  return { code, output: Buffer.concat(chunks).toString() };
}

/** Renders a chart; its text, which Kubernetes would be given. */
export async function render(
  tools: DeployTools,
  chart: string,
  { values, set = [], version = '1.37.0' }: { values?: string; set?: readonly string[]; version?: string } = {},
): Promise<string> {
  const args = ['template', 'test', chart, '--kube-version', version, '--namespace', 'somewhere'];
  if (values !== undefined) args.push('--values', values);
  for (const each of set) args.push('--set', each);
  return (await run(tools.helm, args)).stdout;
}

/** The objects of a text of YAML. */
export function objectsOf(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((each) => each !== null);
}

/** What is wrong with the manifests by the schemas of a Kubernetes version; empty when nothing is. */
export async function faultsOf(tools: DeployTools, text: string, version: string): Promise<string[]> {
  const location = path.join(tools.schemas, version, '{{.ResourceKind}}{{.KindSuffix}}.json');
  const args = [
    '-strict',
    '-kubernetes-version',
    version,
    '-schema-location',
    location,
    '-skip',
    CUSTOM.join(','),
    '-output',
    'json',
  ];
  const { output } = await ran(tools.kubeconform, args, text);
  const { resources } = JSON.parse(output) as { resources: { kind: string; msg: string }[] };
  const custom = await Promise.all(objectsOf(text).map((object) => customFaults(tools, object)));
  return [...resources.map(({ kind, msg }) => `${kind}: ${msg}`), ...custom.flat()];
}

/** The Prometheus Operator's resources, which are not Kubernetes' own. */
const CUSTOM = ['PodMonitor', 'PrometheusRule'];

type Model = new (data: unknown) => { validate(): void };

/** What the validators that are generated from the operator's Go types say. */
async function customFaults(tools: DeployTools, object: Manifest): Promise<string[]> {
  if (!CUSTOM.includes(object.kind)) return [];
  const file = `@kubernetes-models/prometheus-operator/${object.apiVersion}/${object.kind}.js`;
  const { [object.kind]: Kind } = (await import(path.join(tools.crds, file))) as Record<string, Model>;
  try {
    new Kind!(object).validate();
    return [];
  } catch (error) {
    return [`${object.kind}: ${(error as Error).message}`];
  }
}

/** A container, as far as the policy looks into it. */
interface Container {
  readonly name: string;
  readonly securityContext?: {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly readOnlyRootFilesystem?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly privileged?: boolean;
    readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
    readonly seccompProfile?: { readonly type: string };
  };
  readonly resources?: { readonly requests?: object; readonly limits?: { readonly memory?: string } };
}

const HOST_KEYS = ['hostNetwork', 'hostPID', 'hostIPC'] as const;

/** What the restricted Pod Security Standard, and we, find wrong with the pods among the objects. */
export function policyFaults(objects: readonly Manifest[]): string[] {
  return objects.flatMap(({ kind, spec }) => {
    const pod = spec?.template?.spec;
    if (pod === undefined) return [];
    const wrong: string[] = [];
    const want = (fine: boolean | undefined, what: string): void => {
      if (fine !== true) wrong.push(`${kind}: ${what}`);
    };
    for (const key of HOST_KEYS) want(pod[key] !== true, key);
    want(pod.automountServiceAccountToken === false, 'service account token');
    for (const volume of pod.volumes ?? []) want(volume.hostPath === undefined, `hostPath ${volume.name}`);
    for (const { name, securityContext: own = {}, resources } of [
      ...(pod.initContainers ?? []),
      ...pod.containers,
    ] as Container[]) {
      want(own.runAsNonRoot, `${name}: root`);
      want((own.runAsUser ?? 0) > 0, `${name}: user`);
      want(own.readOnlyRootFilesystem, `${name}: writable root`);
      want(own.allowPrivilegeEscalation === false && own.privileged !== true, `${name}: privileges`);
      want(own.capabilities?.drop?.includes('ALL') && own.capabilities.add === undefined, `${name}: capabilities`);
      want(own.seccompProfile?.type === 'RuntimeDefault', `${name}: seccomp`);
      if (name === 'holdfast') want(resources?.limits?.memory !== undefined, `${name}: memory limit`);
    }
    return wrong;
  });
}
