// @fastify/http-proxy as its README shows it: `node fastify.mjs UPSTREAM PORT`.
import process from 'node:process';
import proxy from '@fastify/http-proxy';
import fastify from 'fastify';

const [upstream, port] = process.argv.slice(2);
const app = fastify({ logger: false, bodyLimit: 2 ** 31 - 1, keepAliveTimeout: 75_000 });
app.register(proxy, { upstream, undici: { connections: 128, pipelining: 1 } });
await app.listen({ host: '127.0.0.1', port: Number(port) });
process.on('disconnect', () => process.exit());
