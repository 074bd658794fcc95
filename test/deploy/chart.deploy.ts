/** The chart as Helm and Kubernetes see it, and the plain YAML for those without Helm. */

import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { KUBERNETES_VERSIONS } from '../../scripts/deploy-tools.ts';
import { loadSettings } from '../../src/config/load.ts';
import { CHART, faultsOf, type Manifest, objectsOf, PROJECT, policyFaults, ran, render } from './manifests.ts';

const tools = inject('tools');
const EXAMPLES = globSync('examples/*.yaml', { cwd: CHART }).map((file) => path.join(CHART, file));
const TOKEN = ['secrets.adminToken.name=holdfast', 'secrets.adminToken.key=admin-token'];
const SHARED = [...TOKEN, 'config.data.postgres=${HOLDFAST_POSTGRES}'];
const PLAIN = readFileSync(path.join(PROJECT, 'deploy/kubernetes/sidecar.yaml'), 'utf8');

let folder: string;
/** The example application, its dependency in place. */
let application: string;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'holdfast-'));
  cpSync(path.join(PROJECT, 'helm'), folder, { recursive: true });
  application = path.join(folder, 'example-app');
  const built = await ran(tools.helm, ['dependency', 'build', application, '--skip-refresh']);
  expect(built).toMatchObject({ code: 0 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const only = (objects: readonly Manifest[], kind: string): Manifest => {
  const found = objects.filter((object) => object.kind === kind);
  expect(
    found.map(({ metadata }) => metadata.name),
    kind,
  ).toHaveLength(1);
  return found[0]!;
};

const kindsOf = (objects: readonly Manifest[]): string[] => objects.map(({ kind }) => kind).toSorted();

const SECRETS: Readonly<Record<string, string>> = {
  'tls.crt': readFileSync(path.join(PROJECT, 'test/support/tls/cert.pem'), 'utf8'),
  'tls.key': readFileSync(path.join(PROJECT, 'test/support/tls/key.pem'), 'utf8'),
};

/** Checks a configuration with the very loader of `serve`. */
async function configFaults(yaml: string): Promise<string[]> {
  const { faults } = await loadSettings({
    file: 'holdfast.yaml',
    env: { HOLDFAST_LISTEN: '0.0.0.0:8080', HOLDFAST_ADMIN_LISTEN: '0.0.0.0:8081', HOLDFAST_DATA: '/data/ledger' },
    flags: {},
    readFile: (file) => {
      if (file === 'holdfast.yaml') return yaml;
      return path.dirname(file) === '/run/secrets/holdfast'
        ? (SECRETS[path.basename(file)] ?? 'token')
        : readFileSync(file, 'utf8');
    },
  });
  return faults.map(({ message }) => message);
}

describe.each(EXAMPLES.map((file) => [path.basename(file), file] as const))('%s', (_, values) => {
  it('passes helm lint --strict', async () => {
    const { code, output } = await ran(tools.helm, ['lint', '--strict', CHART, '--values', values]);
    expect(code, output).toBe(0);
  });

  it.each(KUBERNETES_VERSIONS)('renders what Kubernetes %s takes', async (version) => {
    const text = await render(tools, CHART, { values, version });
    expect(objectsOf(text).length).toBeGreaterThan(0);
    expect(await faultsOf(tools, text, version)).toEqual([]);
  });

  it('keeps to the restricted pod security, and has a configuration that Holdfast takes', async () => {
    const objects = objectsOf(await render(tools, CHART, { values }));
    expect(policyFaults(objects)).toEqual([]);
    const configuration = objects.find(({ data }) => data?.['holdfast.yaml'] !== undefined);
    expect(await configFaults(configuration!.data!['holdfast.yaml']!)).toEqual([]);
  });
});

/** Whose change makes a new pod. */
const sumOf = async (set: readonly string[]): Promise<string> => {
  const { template } = only(objectsOf(await render(tools, CHART, { set: [...TOKEN, ...set] })), 'StatefulSet').spec;
  return template.metadata.annotations['checksum/holdfast'];
};

describe('the gateway', () => {
  it('is a StatefulSet with a claim, and without persistence a Deployment that is never there twice', async () => {
    const kept = only(objectsOf(await render(tools, CHART, { set: TOKEN })), 'StatefulSet');
    expect(kept.spec.volumeClaimTemplates[0].spec.accessModes).toEqual(['ReadWriteOnce']);
    // The ledger's key file must stay 0600 when the claim is mounted again.
    expect(kept.spec.template.spec.securityContext.fsGroupChangePolicy).toBe('OnRootMismatch');
    const set = [...TOKEN, 'persistence.enabled=false'];
    expect(only(objectsOf(await render(tools, CHART, { set })), 'Deployment').spec.strategy.type).toBe('Recreate');
  });

  it('drains longer than its own grace of 29 s, after traffic has turned away', async () => {
    const { template } = only(objectsOf(await render(tools, CHART, { set: TOKEN })), 'StatefulSet').spec;
    const [container] = template.spec.containers;
    const before = container.lifecycle.preStop.sleep.seconds as number;
    expect(template.spec.terminationGracePeriodSeconds - before).toBeGreaterThan(29);
  });

  it('takes several replicas and an autoscaler with a store that they share', async () => {
    const several = await render(tools, CHART, { set: [...SHARED, 'replicas=3'] });
    expect(only(objectsOf(several), 'Deployment').spec.replicas).toBe(3);
    const scaled = await render(tools, CHART, { set: [...SHARED, 'autoscaling.enabled=true'] });
    expect(only(objectsOf(scaled), 'HorizontalPodAutoscaler').spec.scaleTargetRef.kind).toBe('Deployment');
    expect(only(objectsOf(scaled), 'Deployment').spec.replicas).toBeUndefined();
    for (const version of KUBERNETES_VERSIONS) expect(await faultsOf(tools, scaled, version)).toEqual([]);
  });

  it('lets nothing out but to the upstream and to names', async () => {
    const { spec } = only(objectsOf(await render(tools, CHART, { set: TOKEN })), 'NetworkPolicy');
    expect(spec.policyTypes).toEqual(['Ingress', 'Egress']);
    const ports = (spec.egress as { ports: { port: number }[] }[]).flatMap((rule) =>
      rule.ports.map(({ port }) => port),
    );
    expect(ports).toEqual([443, 53, 53]);
  });

  it('becomes a new pod only for what a running process keeps', async () => {
    const first = await sumOf([]);
    expect(await sumOf(['config.profile=crm', 'config.log.level=debug'])).toBe(first);
    expect(await sumOf(['config.log.redact={a}'])).not.toBe(first);
  });

  it.each([
    ['two replicas', [...TOKEN, 'replicas=2'], 'a store that all replicas share'],
    ['an autoscaler', [...TOKEN, 'autoscaling.enabled=true'], 'a store that all replicas share'],
    ['no admin token', [], 'secrets.adminToken is required'],
    [
      'its own Intercom token for everyone',
      [...TOKEN, 'secrets.intercomToken.name=a', 'secrets.intercomToken.key=b'],
      'lets everyone',
    ],
    ['a listener in the configuration', [...TOKEN, 'config.listen=0.0.0.0:1'], 'config.listen is set by the chart'],
    ['a data folder in the configuration', [...TOKEN, 'config.data=/tmp'], 'config.data is set by the chart'],
    ['a token among the values', [...TOKEN, 'secrets.intercomToken.value=dG9rOi4u'], 'value'],
    ['a value that is none', [...TOKEN, 'replica=1'], 'replica'],
    ['half a reference', ['secrets.adminToken.name=holdfast'], 'key'],
    ['a mode that is none', [...TOKEN, 'mode=daemon'], 'mode'],
  ])('refuses %s, and says so', async (_, set, says) => {
    const { code, output } = await ran(tools.helm, ['template', 'x', CHART, ...set.flatMap((each) => ['--set', each])]);
    expect(code).not.toBe(0);
    expect(output).toContain(says);
  });

  it('takes a Kubernetes that has native sidecars and a sleeping preStop, and no older', async () => {
    const { code, output } = await ran(tools.helm, ['template', 'x', CHART, '--kube-version', '1.29.9']);
    expect([code === 0, output]).toEqual([false, expect.stringContaining('1.30')]);
  });
});

describe('the sidecar', () => {
  it('comes from a chart of its own into another’s pods, as a native sidecar', async () => {
    const text = await render(tools, application);
    for (const version of KUBERNETES_VERSIONS) expect(await faultsOf(tools, text, version)).toEqual([]);
    const objects = objectsOf(text);
    expect(policyFaults(objects)).toEqual([]);
    expect(kindsOf(objects)).toEqual(['ConfigMap', 'Deployment']);
    const pod = only(objects, 'Deployment').spec.template.spec;
    expect(pod.initContainers[0]).toMatchObject({ name: 'holdfast', restartPolicy: 'Always' });
    const mounted = pod.initContainers[0].volumeMounts.map(({ name }: { name: string }) => name).toSorted();
    expect(pod.volumes.map(({ name }: { name: string }) => name).toSorted()).toEqual(mounted);
    expect(pod.volumes[0].configMap.name).toBe(only(objects, 'ConfigMap').metadata.name);
  });

  it('takes a claim of the pod for its ledger, and the name of another dependency', async () => {
    const set = ['holdfast.sidecar.dataVolume=ledger', 'holdfast.sidecar.port=9090', 'holdfast.nothing=1'];
    const text = await render(tools, application, { set: set.slice(0, 2) });
    const pod = only(objectsOf(text), 'Deployment').spec.template.spec;
    expect(pod.initContainers[0].volumeMounts).toContainEqual({ name: 'ledger', mountPath: '/data' });
    expect(pod.volumes.map(({ name }: { name: string }) => name)).not.toContain('holdfast-data');
    expect(text).toContain('127.0.0.1:9090');
    const refused = await ran(tools.helm, ['template', 'x', application, '--set', set[2]!]);
    expect(refused.code).not.toBe(0);
  });

  it('is the same in the plain YAML, which is valid and keeps to the policy', async () => {
    for (const version of KUBERNETES_VERSIONS) expect(await faultsOf(tools, PLAIN, version)).toEqual([]);
    expect(policyFaults(objectsOf(PLAIN))).toEqual([]);
    const plain = only(objectsOf(PLAIN), 'Deployment').spec.template.spec;
    const charted = only(objectsOf(await render(tools, application)), 'Deployment').spec.template.spec;
    expect(plain.initContainers).toEqual(charted.initContainers);
    const configuration = only(objectsOf(PLAIN), 'ConfigMap');
    expect(plain.volumes).toEqual([
      { ...charted.volumes[0], configMap: { name: configuration.metadata.name } },
      ...charted.volumes.slice(1),
    ]);
    expect(await configFaults(configuration.data!['holdfast.yaml']!)).toEqual([]);
  });
});

describe('monitoring', () => {
  const monitored = path.join(CHART, 'examples/sidecar.yaml');

  it('finds the pods by a port that they have', async () => {
    for (const values of [monitored, path.join(CHART, 'examples/gateway.yaml')]) {
      const monitor = only(objectsOf(await render(tools, CHART, { values })), 'PodMonitor');
      expect(monitor.spec.podMetricsEndpoints[0].port).toBe('holdfast-admin');
    }
    const labels = only(
      objectsOf(await render(tools, application, { set: ['holdfast.monitoring.podMonitor.enabled=true'] })),
      'PodMonitor',
    );
    const app = only(objectsOf(await render(tools, application)), 'Deployment');
    expect(app.spec.template.metadata.labels).toMatchObject(labels.spec.selector.matchLabels);
    expect(app.spec.template.spec.initContainers[0].ports[0].name).toBe('holdfast-admin');
  });

  it('carries the alert rules as they are, with the runbooks where one says', async () => {
    const rule = only(objectsOf(await render(tools, CHART, { values: monitored })), 'PrometheusRule');
    const source = readFileSync(path.join(CHART, 'files/alerts.yaml'), 'utf8');
    expect(rule.spec).toEqual(parse(source.replaceAll('docs/operations.md', 'https://wiki.example.com/holdfast')));
  });

  it('carries the dashboard as it is', async () => {
    const maps = objectsOf(await render(tools, CHART, { values: monitored })).filter(
      ({ kind }) => kind === 'ConfigMap',
    );
    const text = maps.find(({ data }) => data?.['holdfast.json'] !== undefined)?.data?.['holdfast.json'] ?? '';
    expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(path.join(CHART, 'files/dashboard.json'), 'utf8')));
  });
});
