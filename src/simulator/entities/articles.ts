import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { collection, type Entry, type Kind } from './collection.ts';
import { adminOf } from './people.ts';

const ARTICLES: Kind = {
  path: '/articles',
  type: 'article',
  settable: {
    title: null,
    description: '',
    body: '',
    author_id: null,
    state: 'draft',
    parent_id: null,
    parent_type: null,
    default_locale: 'en',
  },
  required: ['title', 'author_id'],
  refusal: [400, 'parameter_not_found'],
  key: ['title', 'author_id', 'parent_id'],
  given: () => ({ workspace_id: 'simulated', url: null, parent_ids: [], tags: { type: 'tag.list', tags: [] } }),
  list: { type: 'list', paging: 'pages', perPageDefault: 25, perPageMax: 150, order: 'newest' },
  check: (_, call) =>
    adminOf(call.body['author_id']) === undefined
      ? error(call.requestId, 400, 'parameter_not_found', 'author_id must be in the main body or default locale')
      : null,
};

/** Articles. The list is up to date; the search sees an article only after the lag. */
export function articleRoutes(world: World): Route[] {
  const index = world.newIndex<Entry>();
  const articles = collection(world, ARTICLES);
  const create = (call: Call): Answer => {
    const before = articles.entries.size;
    const answer = articles.add(call);
    const added = articles.entries.size > before ? [...articles.entries].at(-1) : undefined;
    if (added !== undefined) index.set(...added);
    return answer;
  };
  return [
    { name: 'POST /articles', run: create },
    { name: 'GET /articles/search', run: (call) => search(call, [...index.documents()]) },
    ...articles.routes,
  ];
}

/** Every word of the phrase stands in title or body. */
function search(call: Call, known: readonly Entry[]): Answer {
  const words = (call.query.get('phrase') ?? '').toLowerCase().split(/\s+/);
  const articles = known.filter((article) => {
    const shown = `${text(article['title'])} ${text(article['body'])}`.toLowerCase();
    return words.every((word) => shown.includes(word));
  });
  const pages = { type: 'pages', page: 1, total_pages: 1, per_page: 10 };
  return json(200, { type: 'list', total_count: articles.length, data: { articles, highlights: [] }, pages });
}
