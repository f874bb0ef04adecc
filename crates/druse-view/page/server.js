// Requests to the server.

async function answer(response) {
  if (response.ok) return response;
  const text = await response.text().catch(() => '');
  throw new Error(text || `the server answers ${response.status}`);
}

/** JSON of an address with parameters. */
export async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return (await answer(await fetch(query ? `${path}?${query}` : path))).json();
}

/** Sends JSON; gives the response. */
export async function post(path, body) {
  const headers = { 'content-type': 'application/json' };
  return answer(await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }));
}
