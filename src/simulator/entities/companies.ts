import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { Document, World } from '../base/world.ts';
import { liveContact, noContact, saveContact } from './contacts.ts';
import { cursorPage, type ListShape } from './pages.ts';

const LIST: ListShape = { type: 'list', entries: 'data', perPageDefault: 15, sortField: 'created_at' };
const SCROLL_PAGE = 100;
const SCROLL_IDLE_SECONDS = 60;

interface Scroll {
  readonly param: string;
  readonly ids: readonly string[];
  position: number;
  usedAtSeconds: number;
}

/** Companies: an upsert by `company_id`, lists, and the one scroll per app. */
export function companyRoutes(world: World): Route[] {
  const scrolls: { open: Scroll | null } = { open: null };
  return [
    { name: 'POST /companies', run: (call) => upsert(world, call) },
    { name: 'GET /companies', run: (call) => list(world, call) },
    { name: 'POST /companies/list', run: (call) => cursorPage(call, world.companies.values(), LIST, wishesOf(call)) },
    { name: 'GET /companies/scroll', run: (call) => scroll(world, scrolls, call) },
    { name: 'GET /companies/{company_id}', run: (call) => read(world, call) },
    { name: 'PUT /companies/{company_id}', run: (call) => update(world, call) },
    { name: 'DELETE /companies/{company_id}', run: (call) => remove(world, call) },
    { name: 'POST /contacts/{contact_id}/companies', run: (call) => attach(world, call) },
    { name: 'GET /contacts/{contact_id}/companies', run: (call) => attached(world, call) },
    { name: 'DELETE /contacts/{contact_id}/companies/{company_id}', run: (call) => detach(world, call) },
  ];
}

function wishesOf(call: Call): { perPage: unknown; startingAfter: unknown } {
  return {
    perPage: call.query.get('per_page') ?? call.body['per_page'],
    startingAfter: call.query.get('starting_after') ?? call.body['starting_after'],
  };
}

function noCompany(call: Call): Answer {
  return error(call.requestId, 404, 'company_not_found', 'Company Not Found');
}

function byCompanyId(world: World, companyId: string): Document | undefined {
  const id = world.companyIds.get(companyId);
  return id === undefined ? undefined : world.companies.get(id);
}

function upsert(world: World, call: Call): Answer {
  const companyId = call.body['company_id'];
  if (!companyId && !call.body['name']) {
    return error(call.requestId, 400, 'parameter_missing', 'company_id or name is required');
  }
  const known = companyId ? byCompanyId(world, text(companyId)) : undefined;
  if (known !== undefined) return store(world, call, known, 'update');
  const id = world.newId();
  const now = world.nowSeconds();
  const blank = { type: 'company', id, company_id: companyId ?? id, name: null, plan: null, custom_attributes: {} };
  return store(world, call, { ...blank, created_at: now, updated_at: now }, 'create');
}

function store(world: World, call: Call, company: Document, kind: 'create' | 'update'): Answer {
  const { name, plan, size, website, industry, monthly_spend, custom_attributes } = call.body;
  const given = Object.entries({ name, plan, size, website, industry, monthly_spend }).filter(
    ([, v]) => v !== undefined,
  );
  const custom = { ...(company['custom_attributes'] as Json), ...(custom_attributes as Json | undefined) };
  const stored: Document = {
    ...company,
    ...Object.fromEntries(given),
    custom_attributes: custom,
    updated_at: world.nowSeconds(),
  };
  world.companies.set(stored.id, stored);
  world.companyIds.set(text(stored['company_id']), stored.id);
  const key = call.body['company_id'] ? `company_id=${text(stored['company_id'])}` : `name=${text(stored['name'])}`;
  call.effect(kind, key, stored.id);
  return json(200, stored);
}

function list(world: World, call: Call): Answer {
  const companyId = call.query.get('company_id');
  const name = call.query.get('name');
  if (companyId !== null || name !== null) {
    const hit =
      companyId === null
        ? [...world.companies.values()].find((company) => company['name'] === name)
        : byCompanyId(world, companyId);
    return hit === undefined ? noCompany(call) : json(200, hit);
  }
  return cursorPage(call, world.companies.values(), LIST, wishesOf(call));
}

function scroll(world: World, scrolls: { open: Scroll | null }, call: Call): Answer {
  const now = world.nowSeconds();
  const idle = scrolls.open !== null && now - scrolls.open.usedAtSeconds >= SCROLL_IDLE_SECONDS;
  if (idle) scrolls.open = null;
  const param = call.query.get('scroll_param');
  if (param === null) {
    if (scrolls.open !== null)
      return error(call.requestId, 400, 'scroll_exists', 'scroll already exists for this workspace');
    scrolls.open = { param: world.newId(), ids: [...world.companies.keys()], position: 0, usedAtSeconds: now };
  }
  const open = scrolls.open;
  if (open === null || (param !== null && param !== open.param)) {
    return error(call.requestId, 404, 'not_found', 'scroll parameter not found');
  }
  const ids = open.ids.slice(open.position, open.position + SCROLL_PAGE);
  open.position += ids.length;
  open.usedAtSeconds = now;
  if (ids.length === 0) scrolls.open = null;
  const data = ids.map((id) => world.companies.get(id)).filter((company) => company !== undefined);
  return json(200, { type: 'list', data, pages: null, total_count: open.ids.length, scroll_param: open.param });
}

function read(world: World, call: Call): Answer {
  const company = world.companies.get(call.params[0] as string);
  return company === undefined ? noCompany(call) : json(200, company);
}

function update(world: World, call: Call): Answer {
  const company = world.companies.get(call.params[0] as string);
  return company === undefined ? noCompany(call) : store(world, call, company, 'update');
}

function remove(world: World, call: Call): Answer {
  const company = world.companies.get(call.params[0] as string);
  if (company === undefined) return noCompany(call);
  world.companies.delete(company.id);
  world.companyIds.delete(text(company['company_id']));
  call.effect('delete', company.id, company.id);
  return json(200, { id: company.id, object: 'company', deleted: true });
}

function companiesOf(contact: Document): readonly Json[] {
  return (contact['companies'] as { data: readonly Json[] }).data;
}

function withCompanies(contact: Document, data: readonly Json[]): Document {
  return { ...contact, companies: { ...(contact['companies'] as Json), data, total_count: data.length } };
}

function attach(world: World, call: Call): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  const company = world.companies.get(text(call.body['id']));
  if (company === undefined) return noCompany(call);
  const others = companiesOf(contact).filter((one) => one['id'] !== company.id);
  saveContact(
    world,
    withCompanies(contact, [...others, { type: 'company', id: company.id, url: `/companies/${company.id}` }]),
  );
  call.effect('update', `${contact.id} + ${company.id}`, contact.id);
  return json(200, company);
}

function attached(world: World, call: Call): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  const data = companiesOf(contact).map((one) => world.companies.get(text(one['id'])));
  return json(200, { type: 'list', data, total_count: data.length, pages: null });
}

function detach(world: World, call: Call): Answer {
  const contact = liveContact(world, call.params[0]);
  if (contact === null) return noContact(call);
  const id = call.params[1] as string;
  if (!companiesOf(contact).some((one) => one['id'] === id)) return noCompany(call);
  saveContact(
    world,
    withCompanies(
      contact,
      companiesOf(contact).filter((one) => one['id'] !== id),
    ),
  );
  call.effect('update', `${contact.id} - ${id}`, contact.id);
  return json(200, world.companies.get(id) ?? { type: 'company', id });
}
