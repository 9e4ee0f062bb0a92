// A warm Node process that reads secrets and parameters as people do through the extension.
//
// Each line on stdin is an event, {"with": "fetch" | "axios", "secret" | "parameter": NAME, "query": TEXT};
// each line on stdout is what came of it, {"value": TEXT} or {"status": NUMBER, "body": TEXT}.

'use strict';

const readline = require('node:readline');
const axios = require('axios');

const { AWS_SESSION_TOKEN, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT = '2773' } = process.env;

// As every snippet says it: by name, which may be ::1 or 127.0.0.1.
const origin = `http://localhost:${PARAMETERS_SECRETS_EXTENSION_HTTP_PORT}`;

const targets = {
  secret: (id) => `/secretsmanager/get?secretId=${encodeURIComponent(id)}`,
  parameter: (name) => `/systemsmanager/parameters/get?name=${encodeURIComponent(name)}&withDecryption=true`,
};

const values = {
  secret: (data) => data.SecretString,
  parameter: (data) => data.Parameter.Value,
};

const client = axios.create({
  baseURL: origin,
  timeout: 5000,
  headers: { 'x-aws-parameters-secrets-token': AWS_SESSION_TOKEN },
});

const readers = {
  async fetch(target, headers) {
    const response = await fetch(origin + target, {
      headers: { 'X-Aws-Parameters-Secrets-Token': AWS_SESSION_TOKEN ?? '', ...headers },
    });
    return response.ok
      ? { data: await response.json() }
      : { status: response.status, body: await response.text() };
  },

  async axios(target, headers) {
    try {
      const response = await client.get(target, { headers });
      return { data: response.data };
    } catch (error) {
      const { status, data } = error.response;
      return { status, body: typeof data === 'string' ? data : JSON.stringify(data) };
    }
  },
};

async function handle(event) {
  const kind = 'parameter' in event ? 'parameter' : 'secret';
  const target = event.target ?? targets[kind](event[kind]) + (event.query ?? '');
  const { data, ...refusal } = await readers[event.with](target, event.headers ?? {});
  return data === undefined ? refusal : { value: values[kind](data) };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await handle(JSON.parse(line))));
  }
}

main();
