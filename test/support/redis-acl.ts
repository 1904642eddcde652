/** What a deployment grants the ACL user of `clusters`, and nothing else: docs/operations.md has it. */
export function registryRules(clusters: readonly string[], password: string): string {
  const keys = clusters.map((cluster) => `~mesh:{${cluster}}:*`).join(" ");
  return `on >${password} resetkeys ${keys} resetchannels -@all +eval +evalsha +get +set +del +pexpire +pttl +time +hget +hmget +hgetall +hset +hdel +hlen +zadd +zrem +zcard +zrangebylex +xadd +xlen +xrange +xread +xtrim +select +client|setname +cluster|slots +asking +info`;
}
