import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import { answered, HandDriven } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { batch, gated, json, openBatch, post, readAnswer, restOf, resultLines, until } from './batch-client.ts';
import { type Edge, type EdgeOptions, HandStream, LIMITS, startEdge } from './harness.ts';

const edges: Edge[] = [];
afterEach(async () => {
  for (const edge of edges.splice(0)) await edge.close();
});

async function start(options: EdgeOptions = {}): Promise<Edge> {
  const edge = await startEdge(options);
  edges.push(edge);
  return edge;
}

describe('a batch: who leaves, and when', () => {
  test('a client that hangs up cancels what runs; unread lines are never sent, and nothing stays', async () => {
    const { driven, service } = gated();
    const { port, plane, buffered, recorded } = await start({ service });
    const { request, response } = openBatch(port);
    for (let i = 0; i < 500; i += 1) request.write(`${JSON.stringify(post(`r${i}`))}\n`);
    await until(() => driven.calls.length === 64);
    (await response).on('error', () => {});
    request.destroy();
    await until(() => plane.active() === 0);
    expect(driven.calls).toHaveLength(64);
    expect(driven.calls.map(({ exchange }) => exchange.cancel.signal.reason)).toEqual(Array(64).fill('client_gone'));
    expect(buffered.freeBytes).toBe(LIMITS.bufferedBytes);
    expect(recorded.named('exchange').map(({ complete }) => complete)).toEqual(Array(64).fill(false));
  });

  test('a client that leaves behind a broken upload, before its records have ended, leaves no place taken', async () => {
    const driven = new HandDriven();
    const { port, plane } = await start({ service: driven.service });
    for (let i = 0; i < 16; i += 1) {
      const { request, response } = openBatch(port);
      request.write(`${JSON.stringify(post('a'))}\n`);
      (await response).on('error', () => {});
      await until(() => driven.calls.length === i + 1);
      request.socket?.write('this is no chunk\r\n');
      await until(() => driven.last.exchange.cancel.aborted);
      request.socket?.resetAndDestroy();
      // The batch is gone; its record still runs.
      await until(() => plane.active() === 1);
      driven.last.answer(json('{}'));
      await until(() => plane.active() === 0);
    }
    const answer = batch(port, [post('b')]);
    await until(() => driven.calls.length === 17);
    driven.last.answer(json('{}'));
    expect((await answer).status).toBe(200);
  });

  test('a client that leaves before or while an answer streams in costs nothing that stays', async () => {
    const driven = new HandDriven();
    const { port, plane, buffered } = await start({ service: driven.service });
    const streams = [new HandStream(), new HandStream()] as const;
    const { request, response } = openBatch(port);
    for (const id of ['a', 'b']) request.write(`${JSON.stringify(post(id))}\n`);
    (await response).on('error', () => {});
    await until(() => driven.calls.length === 2);
    driven.calls[0]?.answer(answered(200, { body: { kind: 'stream', stream: streams[0] } }));
    await until(() => streams[0].sink !== null);
    streams[0].sink?.data(Buffer.alloc(1000));
    request.socket?.resetAndDestroy();
    await until(() => driven.last.exchange.cancel.aborted);
    driven.last.answer(answered(200, { body: { kind: 'stream', stream: streams[1] } }));
    await until(() => plane.active() === 0);
    expect(streams.map(({ discarded }) => discarded)).toEqual([true, true]);
    expect(buffered.freeBytes).toBe(LIMITS.bufferedBytes);
  });

  test('§8: a record that was handed over is no longer its client’s to end by leaving', async () => {
    const driven = new HandDriven();
    const { port, plane } = await start({ service: driven.service });
    const { request, response } = openBatch(port);
    request.write(`${JSON.stringify(post('a'))}\n${JSON.stringify(post('b'))}\n`);
    (await response).on('error', () => {});
    await until(() => driven.calls.length === 2);
    const [kept, live] = driven.calls.map(({ exchange }) => exchange) as [Exchange, Exchange];
    kept.queue = { createdAtMs: 0, stage: 'accepted' };
    request.destroy();
    await until(() => live.cancel.aborted);
    expect(kept.cancel.aborted).toBe(false);
    for (const call of driven.calls) call.answer(json('{}'));
    await until(() => plane.active() === 0);
  });

  test('a record whose connection breaks under its result hears that it did not go out', async () => {
    const delivered: boolean[] = [];
    const sockets: Socket[] = [];
    const { port, plane, recorded } = await start({
      answer: (exchange) => {
        exchange.onDelivered = (complete) => delivered.push(complete);
        sockets.at(-1)?.destroy();
        return json('{}');
      },
    });
    plane.server.on('connection', (socket: Socket) => sockets.push(socket));
    await expect(batch(port, [post('a')])).rejects.toThrow();
    await until(() => plane.active() === 0);
    expect(delivered).toEqual([false]);
    expect(recorded.named('exchange').map(({ complete }) => complete)).toEqual([false]);
  });

  test('each record hears whether its result went out', async () => {
    const delivered: boolean[] = [];
    const { port } = await start({
      answer: (exchange) => {
        exchange.onDelivered = (complete) => delivered.push(complete);
        return json('{}');
      },
    });
    await batch(port, [post('a'), post('b')]);
    await until(() => delivered.length === 2);
    expect(delivered).toEqual([true, true]);
  });

  test('stopping ends what runs, and says from which line on nothing was run', async () => {
    const { driven, service } = gated();
    const { port, plane } = await start({ service });
    const { request, response } = openBatch(port);
    for (let i = 0; i < 100; i += 1) request.write(`${JSON.stringify(post(`r${i}`))}\n`);
    await until(() => driven.calls.length === 64);
    const drained = plane.drain(5000);
    request.end();
    const { lines, trailers } = await readAnswer(await response);
    await drained;
    expect(lines).toHaveLength(65);
    expect(lines.at(-1)).toMatchObject({ id: null, line: 65, status: 503, holdfast: { reason: 'shutdown' } });
    expect(trailers['holdfast-batch']).toBe('records=64, ok=0, failed=64, complete=?0');
  });

  test('a client that falls silent is told so; one whose records still run may be', async () => {
    const clock = new VirtualClock();
    const { driven, service } = gated();
    const { port } = await start({ service, clock });
    const { request, response } = openBatch(port);
    request.write(`${JSON.stringify(post('a'))}\n`);
    await until(() => driven.calls.length === 1);
    await clock.advance(200_000);
    driven.last.answer(json('{}'));
    const results = resultLines(await response);
    expect((await results.next()).value).toMatchObject({ id: 'a', status: 200 });
    await clock.advance(100_000);
    expect(await restOf(results)).toMatchObject([
      { id: null, line: 2, status: 408, body: { errors: [{ code: 'holdfast_request_timeout' }] } },
    ]);
  });

  test('an upload that breaks in the middle ends the batch; what was whole has its result', async () => {
    const { port } = await start();
    const { request, response } = openBatch(port);
    request.write(`${JSON.stringify(post('a'))}\n`);
    const answer = await response;
    await once(answer, 'readable');
    request.socket?.write('this is no chunk\r\n');
    const { lines } = await readAnswer(answer);
    expect(lines.map(({ line, status }) => [line, status])).toEqual([
      [1, 200],
      [2, 400],
    ]);
  });
});
