// Original file: protos/causeway/federation/v1/federation.proto

import type { ServicePort as _causeway_federation_v1_ServicePort, ServicePort__Output as _causeway_federation_v1_ServicePort__Output } from '../../../causeway/federation/v1/ServicePort.ts';
import type { ServiceSettings as _causeway_federation_v1_ServiceSettings, ServiceSettings__Output as _causeway_federation_v1_ServiceSettings__Output } from '../../../causeway/federation/v1/ServiceSettings.ts';
import type { Long } from '@grpc/proto-loader';

export interface Service {
  'namespace'?: (string);
  'name'?: (string);
  'ports'?: (_causeway_federation_v1_ServicePort)[];
  'headless'?: (boolean);
  /**
   * Milliseconds since 1970 of the export; the oldest wins a conflict.
   */
  'exportedAtMs'?: (number | string | Long);
  'sessionAffinity'?: (boolean);
  /**
   * Joined to the clusterset name (a ServiceExport), or only mirrored (the label).
   */
  'clusterset'?: (boolean);
  /**
   * How clients are to call it, where its owner says so.
   */
  'settings'?: (_causeway_federation_v1_ServiceSettings | null);
}

export interface Service__Output {
  'namespace': (string);
  'name': (string);
  'ports': (_causeway_federation_v1_ServicePort__Output)[];
  'headless': (boolean);
  /**
   * Milliseconds since 1970 of the export; the oldest wins a conflict.
   */
  'exportedAtMs': (string);
  'sessionAffinity': (boolean);
  /**
   * Joined to the clusterset name (a ServiceExport), or only mirrored (the label).
   */
  'clusterset': (boolean);
  /**
   * How clients are to call it, where its owner says so.
   */
  'settings': (_causeway_federation_v1_ServiceSettings__Output | null);
}
