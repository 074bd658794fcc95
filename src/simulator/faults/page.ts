import { html as htmlAnswer } from '../base/answer.ts';
import { defineFault, effectShape, takeEffect } from '../base/fault.ts';

const shape = { ...effectShape, effect: effectShape.effect.unwrap().default('applied') };

/** A success that carries a load balancer's page instead of JSON. */
export const html = defineFault('html', shape, (arrival, options) => {
  takeEffect(arrival, options);
  arrival.send(htmlAnswer(200, 'Please wait'));
});

/** A success without a body where JSON was due. */
export const empty = defineFault('empty', shape, (arrival, options) => {
  takeEffect(arrival, options);
  arrival.send({ status: 200, headers: ['Content-Type', 'application/json; charset=utf-8'], body: Buffer.alloc(0) });
});
