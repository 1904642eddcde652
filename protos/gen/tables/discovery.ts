// Original file: protos/causeway/discovery/v1/discovery.proto

import { defineMethod, type Schema } from "../../codec.ts";
import type { WatchRequest } from "../causeway/discovery/v1/WatchRequest.ts";
import type { WatchResponse__Output } from "../causeway/discovery/v1/WatchResponse.ts";

export const MESSAGES: Schema = {
  WatchRequest: [
    {"id":1,"name":"hello","kind":"message","oneof":"body","message":"Hello"},
    {"id":2,"name":"subscribe","kind":"message","oneof":"body","message":"Subscribe"},
    {"id":3,"name":"unsubscribe","kind":"message","oneof":"body","message":"Unsubscribe"},
  ],
  Hello: [
    {"id":1,"name":"namespace","kind":"string"},
    {"id":2,"name":"pod","kind":"string"},
    {"id":3,"name":"address","kind":"string"},
    {"id":4,"name":"protocol","kind":"uint32"},
    {"id":5,"name":"zone","kind":"string"},
  ],
  Subscribe: [
    {"id":1,"name":"authorities","kind":"string","repeated":true},
  ],
  Unsubscribe: [
    {"id":1,"name":"authorities","kind":"string","repeated":true},
  ],
  WatchResponse: [
    {"id":1,"name":"service","kind":"message","oneof":"body","message":"ServiceState"},
    {"id":2,"name":"links","kind":"message","oneof":"body","message":"LinkStates"},
    {"id":3,"name":"inbound","kind":"message","oneof":"body","message":"InboundState"},
  ],
  ServiceState: [
    {"id":1,"name":"authority","kind":"string"},
    {"id":2,"name":"kind","kind":"enum","values":{"0":"KIND_UNSPECIFIED","1":"KIND_NOT_FOUND","2":"KIND_SERVICE","3":"KIND_EXTERNAL"}},
    {"id":3,"name":"namespace","kind":"string"},
    {"id":4,"name":"name","kind":"string"},
    {"id":5,"name":"port","kind":"uint32"},
    {"id":6,"name":"appProtocol","kind":"string"},
    {"id":7,"name":"groups","kind":"message","repeated":true,"message":"PriorityGroup"},
    {"id":8,"name":"federated","kind":"bool"},
    {"id":9,"name":"routes","kind":"message","repeated":true,"message":"RouteRule"},
    {"id":10,"name":"timeouts","kind":"message","message":"Timeouts"},
    {"id":11,"name":"retry","kind":"message","message":"RetryPolicy"},
    {"id":12,"name":"affinitySeconds","kind":"uint32"},
    {"id":13,"name":"preferZone","kind":"bool"},
    {"id":14,"name":"maxConnectionAgeMs","kind":"uint32"},
  ],
  RouteRule: [
    {"id":1,"name":"name","kind":"string"},
    {"id":2,"name":"matches","kind":"message","repeated":true,"message":"RouteMatch"},
    {"id":3,"name":"filters","kind":"message","repeated":true,"message":"RouteFilter"},
    {"id":4,"name":"backends","kind":"message","repeated":true,"message":"RouteBackend"},
    {"id":5,"name":"timeouts","kind":"message","message":"Timeouts"},
    {"id":6,"name":"retry","kind":"message","message":"RetryPolicy"},
    {"id":7,"name":"grpc","kind":"bool"},
  ],
  RouteMatch: [
    {"id":1,"name":"path","kind":"message","message":"ValueMatch"},
    {"id":2,"name":"method","kind":"string"},
    {"id":3,"name":"headers","kind":"message","repeated":true,"message":"NamedMatch"},
    {"id":4,"name":"query","kind":"message","repeated":true,"message":"NamedMatch"},
  ],
  ValueMatch: [
    {"id":1,"name":"kind","kind":"enum","values":{"0":"KIND_UNSPECIFIED","1":"KIND_EXACT","2":"KIND_PREFIX","3":"KIND_REGEX"}},
    {"id":2,"name":"value","kind":"string"},
  ],
  NamedMatch: [
    {"id":1,"name":"name","kind":"string"},
    {"id":2,"name":"value","kind":"message","message":"ValueMatch"},
  ],
  RouteFilter: [
    {"id":1,"name":"requestHeaders","kind":"message","oneof":"filter","message":"HeaderModifier"},
    {"id":2,"name":"responseHeaders","kind":"message","oneof":"filter","message":"HeaderModifier"},
    {"id":3,"name":"redirect","kind":"message","oneof":"filter","message":"Redirect"},
    {"id":4,"name":"rewrite","kind":"message","oneof":"filter","message":"Rewrite"},
    {"id":5,"name":"mirror","kind":"message","oneof":"filter","message":"Mirror"},
  ],
  HeaderModifier: [
    {"id":1,"name":"set","kind":"message","repeated":true,"message":"Header"},
    {"id":2,"name":"add","kind":"message","repeated":true,"message":"Header"},
    {"id":3,"name":"remove","kind":"string","repeated":true},
  ],
  Header: [
    {"id":1,"name":"name","kind":"string"},
    {"id":2,"name":"value","kind":"string"},
  ],
  PathChange: [
    {"id":1,"name":"full","kind":"string"},
    {"id":2,"name":"prefix","kind":"string"},
    {"id":3,"name":"replacesPrefix","kind":"bool"},
  ],
  Redirect: [
    {"id":1,"name":"scheme","kind":"string"},
    {"id":2,"name":"host","kind":"string"},
    {"id":3,"name":"port","kind":"uint32"},
    {"id":4,"name":"path","kind":"message","message":"PathChange"},
    {"id":5,"name":"status","kind":"uint32"},
  ],
  Rewrite: [
    {"id":1,"name":"host","kind":"string"},
    {"id":2,"name":"path","kind":"message","message":"PathChange"},
  ],
  Mirror: [
    {"id":1,"name":"authority","kind":"string"},
    {"id":2,"name":"numerator","kind":"uint32"},
    {"id":3,"name":"denominator","kind":"uint32"},
  ],
  RouteBackend: [
    {"id":1,"name":"authority","kind":"string"},
    {"id":2,"name":"weight","kind":"uint32"},
    {"id":3,"name":"filters","kind":"message","repeated":true,"message":"RouteFilter"},
  ],
  Timeouts: [
    {"id":1,"name":"requestMs","kind":"uint32"},
    {"id":2,"name":"tryMs","kind":"uint32"},
    {"id":3,"name":"idleMs","kind":"uint32"},
  ],
  RetryPolicy: [
    {"id":1,"name":"limit","kind":"uint32"},
    {"id":2,"name":"httpStatuses","kind":"uint32","repeated":true},
    {"id":3,"name":"grpcStatuses","kind":"uint32","repeated":true},
    {"id":4,"name":"backoffMs","kind":"uint32"},
    {"id":5,"name":"anyMethod","kind":"bool"},
  ],
  PriorityGroup: [
    {"id":1,"name":"cluster","kind":"string"},
    {"id":2,"name":"trustDomain","kind":"string"},
    {"id":3,"name":"endpoints","kind":"message","repeated":true,"message":"Endpoint"},
    {"id":4,"name":"gateways","kind":"message","repeated":true,"message":"Gateway"},
    {"id":5,"name":"level","kind":"uint32"},
    {"id":6,"name":"weight","kind":"uint32"},
    {"id":7,"name":"total","kind":"uint32"},
    {"id":8,"name":"readyTotal","kind":"uint32"},
  ],
  Gateway: [
    {"id":1,"name":"host","kind":"string"},
    {"id":2,"name":"port","kind":"uint32"},
  ],
  Endpoint: [
    {"id":1,"name":"id","kind":"string"},
    {"id":2,"name":"address","kind":"string"},
    {"id":3,"name":"port","kind":"uint32"},
    {"id":4,"name":"proxyPort","kind":"uint32"},
    {"id":5,"name":"identity","kind":"string"},
    {"id":6,"name":"routeName","kind":"string"},
    {"id":7,"name":"ready","kind":"bool"},
    {"id":8,"name":"zone","kind":"string"},
  ],
  LinkStates: [
    {"id":1,"name":"links","kind":"message","repeated":true,"message":"LinkState"},
  ],
  LinkState: [
    {"id":1,"name":"cluster","kind":"string"},
    {"id":2,"name":"health","kind":"enum","values":{"0":"HEALTH_UNKNOWN","1":"HEALTH_ALIVE","2":"HEALTH_SUSPECT","3":"HEALTH_DEAD","4":"HEALTH_RECOVERING"}},
    {"id":3,"name":"ramp","kind":"double"},
    {"id":4,"name":"drained","kind":"double"},
    {"id":5,"name":"stale","kind":"bool"},
  ],
  InboundState: [
    {"id":1,"name":"cluster","kind":"string"},
    {"id":2,"name":"trustDomain","kind":"string"},
    {"id":3,"name":"ports","kind":"message","repeated":true,"message":"InboundPort"},
  ],
  InboundPort: [
    {"id":1,"name":"port","kind":"uint32"},
    {"id":2,"name":"appProtocol","kind":"string"},
    {"id":3,"name":"peerTrustDomains","kind":"string","repeated":true},
    {"id":4,"name":"namespace","kind":"string"},
    {"id":5,"name":"service","kind":"string"},
    {"id":6,"name":"rateLimit","kind":"uint32"},
    {"id":7,"name":"rateBurst","kind":"uint32"},
    {"id":8,"name":"maxInFlight","kind":"uint32"},
    {"id":9,"name":"appSocket","kind":"string"},
  ],
};

export const WATCH = defineMethod<WatchRequest, WatchResponse__Output>("/causeway.discovery.v1.Discovery/Watch", MESSAGES, "WatchRequest", "WatchResponse");
