import { type Json, text } from '../base/route.ts';

/** The two admins and the team of every simulated workspace. */
export const ADMINS: readonly Json[] = [
  admin('814860', 'Ada Simulated', 'ada@simulated.example'),
  admin('814861', 'Ben Simulated', 'ben@simulated.example'),
];

/** What `GET /me` answers, whatever the token. */
export const ME: Json = {
  ...ADMINS[0],
  app: { type: 'app', id_code: 'simulated', name: 'Simulated workspace', created_at: 1_700_000_000, secure: true },
};

function admin(id: string, name: string, email: string): Json {
  return {
    type: 'admin',
    id,
    name,
    email,
    email_verified: true,
    away_mode_enabled: false,
    has_inbox_seat: true,
    team_ids: [],
  };
}

/** Finds an admin; undefined for an unknown id. */
export function adminOf(id: unknown): Json | undefined {
  return ADMINS.find((one) => one['id'] === text(id));
}
