import { configureGlobal, readConfigureGlobal } from 'fast-check';

/**
 * Property tests draw the same cases on every run, so that a red build is about the change and not about chance.
 * `PROPERTY_SEED=random npm test` explores, `PROPERTY_SEED=123 npm test` repeats.
 */
const given = process.env['PROPERTY_SEED'];
if (given !== 'random') configureGlobal({ ...readConfigureGlobal(), seed: Number(given ?? 20_261_122) });
