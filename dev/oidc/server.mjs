// The bed's light OIDC provider: `node server.mjs CONFIG.json`. Certified library, no checks of our own.
//
// Access tokens are RS256 JWTs for one audience with `scope`, `preferred_username` and `azp`, as Keycloak makes them; those of people
// also say how and when they signed in (`acr`, `amr`, `auth_time`), and a client without a person is `service-account-<client>`.
// People (authorisation code with PKCE, or a device's code) see a bare login form; consent is taken for granted.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

import { Provider } from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
// The library wants an absolute URI as resource indicator; tokens carry the plain audience.
const RESOURCE = 'urn:goldcrest-bed:resource';
const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';

function signingKeys(path) {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwk = privateKey.export({ format: 'jwk' });
    const kid = createHash('sha256').update(jwk.n).digest('base64url').slice(0, 16);
    writeFileSync(`${path}.new`, JSON.stringify({ keys: [{ ...jwk, kid, use: 'sig', alg: 'RS256' }] }), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  return JSON.parse(readFileSync(path, 'utf8'));
}

function clientMetadata([id, client]) {
  const scope = ['openid', 'profile', ...client.scopes].join(' ');
  if (client.public) {
    const redirects = client.redirect_uris ?? [];
    return {
      client_id: id,
      token_endpoint_auth_method: 'none',
      grant_types: [redirects.length ? 'authorization_code' : DEVICE_CODE],
      response_types: redirects.length ? ['code'] : [],
      redirect_uris: redirects,
      scope,
    };
  }
  if (client.redirect_uris) {
    return {
      client_id: id,
      client_secret: client.secret,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: client.redirect_uris,
      scope,
    };
  }
  return {
    client_id: id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope,
  };
}

const seconds = (id) => config.clients[id]?.token_seconds ?? config.token_seconds;

const provider = new Provider(config.issuer, {
  clients: Object.entries(config.clients).map(clientMetadata),
  jwks: signingKeys(config.jwks),
  scopes: ['openid', 'profile', ...config.scopes],
  cookies: { keys: [config.cookie_key] },
  pkce: { required: () => true },
  claims: { profile: ['preferred_username'] },
  conformIdTokenClaims: false,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    ClientCredentials: (ctx, token, client) => seconds(client.clientId),
    AccessToken: (ctx, token, client) => seconds(client.clientId),
    Grant: 3600,
    IdToken: 300,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => {
        // A client that names no scope gets all of its own, as Keycloak's default client scopes do.
        if (ctx.oidc.params.grant_type === 'client_credentials' && !ctx.oidc.params.scope) {
          ctx.oidc.params.scope = config.clients[client.clientId].scopes.join(' ') || undefined;
        }
        return RESOURCE;
      },
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience: config.audience,
        scope: config.scopes.join(' '),
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (ctx, token) => {
    const { AuthorizationCode, DeviceCode, RefreshToken } = ctx.oidc.entities;
    const { acr, amr, authTime } = AuthorizationCode ?? DeviceCode ?? RefreshToken ?? {};
    return {
      azp: token.clientId,
      // Undefined: left out.
      preferred_username: (token.accountId ?? config.clients[token.clientId].username ?? `service-account-${token.clientId}`) || undefined,
      acr,
      amr,
      auth_time: authTime,
    };
  },
  findAccount: (ctx, id) =>
    id in config.users ? { accountId: id, claims: () => ({ sub: id, preferred_username: id }) } : undefined,
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const { client, session, params } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(['openid', 'profile', ...config.scopes].join(' '));
    grant.addResourceScope(RESOURCE, params.scope ?? '');
    await grant.save();
    return grant;
  },
});

const FORM = (uid, problem) => `<!doctype html><title>Goldcrest test bed</title><h1>Sign in</h1><p>${problem}</p>
<form method="post" action="/interaction/${uid}">
<label>User <input name="username" autofocus></label> <label>Password <input name="password" type="password"></label>
<button>Sign in</button></form>`;

async function formBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

provider.use(async (ctx, next) => {
  if (ctx.path === '/healthz') {
    ctx.body = 'ok';
    return;
  }
  if (!ctx.path.startsWith('/interaction/')) {
    await next();
    return;
  }
  const { uid } = await provider.interactionDetails(ctx.req, ctx.res);
  ctx.type = 'html';
  if (ctx.method !== 'POST') {
    ctx.body = FORM(uid, '');
    return;
  }
  const form = await formBody(ctx.req);
  const username = form.get('username');
  if (!Object.hasOwn(config.users, username) || config.users[username].password !== form.get('password')) {
    ctx.status = 401;
    ctx.body = FORM(uid, 'Wrong user or password.');
    return;
  }
  const result = { login: { accountId: username, acr: '1', amr: ['pwd'] } };
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: false }));
});

for (const event of ['server_error', 'grant.error', 'authorization.error']) {
  provider.on(event, (ctx, error) => console.log(new Date().toISOString(), event, error.error_description ?? error.stack));
}
const { hostname, port } = new URL(config.issuer);
provider.listen(Number(port), hostname, () => console.log(`listening on ${config.issuer}`));
