import { error, json } from '../base/answer.ts';
import type { Route } from '../base/route.ts';
import { ADMINS, adminOf, ME } from './people.ts';

/** Who the token belongs to, and the admins. */
export function adminRoutes(): Route[] {
  return [
    { name: 'GET /me', run: () => json(200, ME) },
    { name: 'GET /admins', run: () => json(200, { type: 'admin.list', admins: ADMINS }) },
    {
      name: 'GET /admins/{admin_id}',
      run: (call) => {
        const admin = adminOf(call.params[0]);
        return admin === undefined
          ? error(call.requestId, 404, 'admin_not_found', 'Admin Not Found')
          : json(200, admin);
      },
    },
  ];
}
