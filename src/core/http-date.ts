/**
 * HTTP-date (RFC 9110 §5.6.7) in its three forms, strictly. `Date.parse` is not used: it takes almost anything
 * ("Retry-After: 5 apples 1" is a date to V8), and reads a date without zone as local time.
 */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const IMF = /^[a-z]{3}, (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/i;
const RFC850 = /^[a-z]{6,9}, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/i;
const ASCTIME = /^[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/i;
const LONGEST_DATE = 40;
const FIFTY_YEARS_MS = 50 * 365.25 * 86_400_000;

/**
 * Epoch ms of an HTTP-date, null when it is none. `nearMs` (epoch ms) settles the century of the two-digit form: a date
 * more than 50 years ahead of it means the past.
 */
export function parseHttpDate(value: string, nearMs: number): number | null {
  if (value.length > LONGEST_DATE) return null;
  const text = value.trim();
  const imf = IMF.exec(text);
  if (imf) return utc(Number(imf[3]), imf[2], imf[1], imf[4], imf[5], imf[6]);
  const asctime = ASCTIME.exec(text);
  if (asctime) return utc(Number(asctime[6]), asctime[1], asctime[2], asctime[3], asctime[4], asctime[5]);
  const old = RFC850.exec(text);
  if (!old) return null;
  const century = Math.floor(new Date(nearMs).getUTCFullYear() / 100) * 100;
  const year = century + Number(old[3]);
  const time = utc(year, old[2], old[1], old[4], old[5], old[6]);
  if (time === null || time - nearMs <= FIFTY_YEARS_MS) return time;
  return utc(year - 100, old[2], old[1], old[4], old[5], old[6]);
}

type Part = string | undefined;

function utc(year: number, monthName: Part, dayText: Part, hours: Part, minutes: Part, seconds: Part): number | null {
  const month = MONTHS.indexOf((monthName ?? '').toLowerCase());
  const day = Number(dayText);
  const [h, m, s] = [Number(hours), Number(minutes), Number(seconds)];
  if (month < 0 || day < 1 || h > 23 || m > 59 || s > 60) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  if (date.getUTCMonth() !== month) return null;
  return date.setUTCHours(h, m, s);
}
