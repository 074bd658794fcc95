import type { Route } from './base/route.ts';
import type { World } from './base/world.ts';
import { adminRoutes } from './entities/admins.ts';
import { companyRoutes } from './entities/companies.ts';
import { contactRoutes } from './entities/contacts.ts';
import { conversationRoutes } from './entities/conversations.ts';
import { eventRoutes } from './entities/events.ts';
import { noteRoutes } from './entities/notes.ts';
import { tagRoutes } from './entities/tags.ts';
import { ticketRoutes } from './entities/tickets.ts';

/** Every operation that the simulator serves. */
export function allRoutes(world: World): Route[] {
  return [
    ...contactRoutes(world),
    ...companyRoutes(world),
    ...conversationRoutes(world),
    ...eventRoutes(world),
    ...noteRoutes(world),
    ...tagRoutes(world),
    ...ticketRoutes(world),
    ...adminRoutes(),
  ];
}
