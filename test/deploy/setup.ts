import type { TestProject } from 'vitest/node';
import { type DeployTools, deployTools } from '../../scripts/deploy-tools.ts';

declare module 'vitest' {
  interface ProvidedContext {
    tools: DeployTools;
  }
}

/** Runs before all: without its tools no test of a deployment means anything. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('tools', await deployTools(process.env, console.log));
}
