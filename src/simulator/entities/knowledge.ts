import { error } from '../base/answer.ts';
import type { Call, Route } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { type Collection, collection, type Kind, noEntry } from './collection.ts';
import type { NumberedShape } from './pages.ts';

const MISSING = [400, 'parameter_not_found'] as const;

function newest(perPageDefault: number, perPageMax: number): NumberedShape {
  return { type: 'list', paging: 'pages', perPageDefault, perPageMax, order: 'newest' };
}

const IMPORT_SOURCES: Kind = {
  path: '/ai/content_import_sources',
  type: 'content_import_source',
  settable: { url: null, sync_behavior: 'api', status: 'active', audience_ids: [] },
  required: ['url'],
  refusal: [400, 'parameter_not_found'],
  given: (world) => ({ last_synced_at: world.nowSeconds() }),
  numericId: true,
  list: { type: 'list', paging: 'pages', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
};

const COLLECTIONS: Kind = {
  path: '/help_center/collections',
  type: 'collection',
  settable: { name: null, description: '', parent_id: null, help_center_id: null },
  refusal: MISSING,
  given: (_, id) => ({ workspace_id: 'simulated', url: `http://help.simulated.example/${id}`, icon: 'book', order: 1 }),
  list: newest(20, 150),
};

const INTERNAL_ARTICLES: Kind = {
  path: '/internal_articles',
  type: 'internal_article',
  settable: { title: null, body: '', owner_id: null, author_id: null, locale: 'en' },
  required: ['title', 'owner_id', 'author_id'],
  refusal: MISSING,
  key: ['title', 'owner_id', 'author_id'],
  list: newest(25, 150),
};

const SNIPPETS: Kind = {
  path: '/content_snippets',
  type: 'content_snippet',
  created: 201,
  settable: { title: null, locale: 'en', json_blocks: [], audience_ids: [] },
  required: ['title'],
  given: () => ({ chatbot_availability: 1, copilot_availability: 1 }),
  list: { type: 'list', paging: 'fields', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
};

const NEWS: Kind = {
  path: '/news/news_items',
  type: 'news-item',
  settable: {
    title: null,
    body: '',
    sender_id: null,
    state: 'draft',
    newsfeed_assignments: [],
    labels: [],
    reactions: [],
    deliver_silently: false,
  },
  required: ['title', 'sender_id'],
  refusal: MISSING,
  key: ['title', 'sender_id'],
  given: () => ({ workspace_id: 'simulated', cover_image_url: null }),
  list: newest(10, 150),
};

const REDIRECTS: Kind = {
  path: '/help_center/help_centers/{help_center_id}/redirects',
  type: 'help_center_redirect',
  settable: { from_url: null, locale: 'en', target_type: 'article', target_id: null },
  required: ['from_url', 'target_id'],
  refusal: MISSING,
  key: ['from_url', 'locale'],
  parent: 'help_center_id',
  list: newest(50, 250),
  unique: (call) => error(call.requestId, 409, 'resource_conflict', 'A redirect with that URL already exists'),
};

const AUDIENCES: Kind = {
  path: '/audiences',
  type: 'audience',
  created: 201,
  settable: { name: null, predicates: [], role_predicates: [] },
  list: { type: 'list', paging: 'fields', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
};

const SCHEDULES: Kind = {
  path: '/office_hours_schedules',
  type: 'office_hours_schedule',
  created: 201,
  settable: { name: null, time_zone_name: 'UTC', time_intervals: [], twenty_four_seven: false },
  list: { type: 'office_hours_schedule.list', paging: 'none', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
};

function exceptionsOf(schedules: Collection): Kind {
  const known = (call: Call): boolean => schedules.entries.has(call.params[0] as string);
  return {
    path: '/office_hours_schedules/{office_hours_schedule_id}/office_hours_exceptions',
    type: 'office_hours_exception',
    created: 201,
    settable: {
      exception_date: null,
      exception_type: 'closed',
      name: null,
      time_intervals: null,
      recurring_annually: false,
    },
    required: ['exception_date', 'exception_type'],
    key: ['exception_date', 'exception_type'],
    parent: 'office_hours_schedule_id',
    check: (_, call) => (known(call) ? null : noEntry(call)),
    list: { type: 'office_hours_exception.list', paging: 'none', perPageDefault: 50, perPageMax: 50, order: 'oldest' },
  };
}

/** What a workspace knows and shows: collections, internal articles, snippets, news, sources, audiences, office hours. */
export function knowledgeRoutes(world: World): Route[] {
  const schedules = collection(world, SCHEDULES);
  const kinds = [IMPORT_SOURCES, COLLECTIONS, INTERNAL_ARTICLES, SNIPPETS, NEWS, REDIRECTS, AUDIENCES];
  return [
    ...kinds.flatMap((kind) => collection(world, kind).routes),
    ...schedules.routes,
    ...collection(world, exceptionsOf(schedules)).routes,
  ];
}
