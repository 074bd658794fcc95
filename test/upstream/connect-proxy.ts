import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A CONNECT proxy of a few lines; `status` is what it answers with, `seen` the heads that it got. */
export interface ConnectProxy {
  readonly origin: string;
  readonly seen: string[];
  readonly open: () => number;
  close(): Promise<void>;
}

/** Starts one on a free port. */
export async function startConnectProxy(status = 200): Promise<ConnectProxy> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  };
  const server = createServer((client) => {
    keep(client);
    client.once('data', (head) => {
      seen.push(head.toString('latin1'));
      if (status !== 200) return void client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
      const [host = '', port = ''] = (seen.at(-1)?.split(' ')[1] ?? '').split(':');
      const target = connect(Number(port), host, () => {
        client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        client.pipe(target).pipe(client);
      });
      keep(target);
      client.on('close', () => target.destroy());
      target.on('close', () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    open: () => sockets.size,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
