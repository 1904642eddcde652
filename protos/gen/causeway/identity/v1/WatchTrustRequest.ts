// Original file: protos/causeway/identity/v1/identity.proto


export interface WatchTrustRequest {
}

export interface WatchTrustRequest__Output {
}
