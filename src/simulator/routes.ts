import type { Route } from './base/route.ts';
import type { World } from './base/world.ts';
import { adminRoutes } from './entities/admins.ts';
import { articleRoutes } from './entities/articles.ts';
import { companyRoutes } from './entities/companies.ts';
import { contactRoutes } from './entities/contacts.ts';
import { conversationRoutes } from './entities/conversations.ts';
import { eventRoutes } from './entities/events.ts';
import { exportRoutes } from './entities/exports.ts';
import { finRoutes } from './entities/fin.ts';
import { knowledgeRoutes } from './entities/knowledge.ts';
import { messageRoutes } from './entities/messages.ts';
import { noteRoutes } from './entities/notes.ts';
import { settingsRoutes } from './entities/settings.ts';
import { tagRoutes } from './entities/tags.ts';
import { ticketTypeRoutes, ticketTypes } from './entities/ticket-types.ts';
import { ticketRoutes } from './entities/tickets.ts';

/** Every operation that the simulator serves. */
export function allRoutes(world: World): Route[] {
  const types = ticketTypes(world);
  return [
    ...contactRoutes(world),
    ...companyRoutes(world),
    // Before conversations, whose `/conversations/{id}` would take `/conversations/attributes`.
    ...settingsRoutes(world),
    ...conversationRoutes(world),
    ...eventRoutes(world),
    ...noteRoutes(world),
    ...tagRoutes(world),
    ...ticketTypeRoutes(world, types),
    ...ticketRoutes(world, types),
    ...messageRoutes(world),
    ...knowledgeRoutes(world),
    ...articleRoutes(world),
    ...exportRoutes(world),
    ...finRoutes(world),
    ...adminRoutes(),
  ];
}
