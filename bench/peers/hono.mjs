// hono's proxy() helper on the Node adapter: `node hono.mjs UPSTREAM PORT`.
import process from 'node:process';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { proxy } from 'hono/proxy';

const [upstream, port] = process.argv.slice(2);
const app = new Hono();
app.all('*', (context) => {
  const url = new URL(context.req.url);
  return proxy(`${upstream}${url.pathname}${url.search}`, context.req);
});
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) });
server.keepAliveTimeout = 75_000;
process.on('disconnect', () => process.exit());
