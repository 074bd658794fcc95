/**
 * What of `node:http` is called, taken without an ES import: that one asks the module for everything it has, its web
 * sockets included, and Node loads its own undici for those: 40 ms of processor time at the start and 13 MB. Types come
 * from `node:http` as ever.
 */
export const { createServer, METHODS, request, STATUS_CODES } = process.getBuiltinModule('node:http');
