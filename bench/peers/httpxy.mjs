// httpxy behind http.createServer as its README shows it: `node httpxy.mjs UPSTREAM PORT`.
import http from 'node:http';
import process from 'node:process';
import { createProxyServer } from 'httpxy';

const [target, port] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
const proxy = createProxyServer({ target, agent });
const server = http.createServer((request, response) => {
  proxy.web(request, response).catch((error) => response.destroy(error));
});
server.keepAliveTimeout = 75_000;
server.listen(Number(port), '127.0.0.1');
process.on('disconnect', () => process.exit());
