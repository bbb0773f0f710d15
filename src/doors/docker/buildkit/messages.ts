/**
 * The messages of BuildKit's services that are spoken here, as field tables. Names and numbers are those of the public .proto
 * files: moby/buildkit api/services/control, api/types, frontend/gateway/pb, solver/pb, session/*, tonistiigi/fsutil types.
 */
import {
  bigint,
  bool,
  bytes,
  bytesList,
  bytesMap,
  type Decoded,
  int,
  list,
  message,
  messageMap,
  name,
  nested,
  string,
  stringMap,
  strings,
} from './protobuf.ts'

export const Empty = message({})
export const Timestamp = message({ seconds: int(1), nanos: int(2) })
export const Any = message({ typeUrl: string(1), value: bytes(2) })
/** google.rpc.Status */
export const Status = message({ code: int(1), message: string(2), details: list(3, () => Any) })

// ── pb (solver/pb/ops.proto) ──
export const Platform = message({ Architecture: string(1), OS: string(2), Variant: string(3) })
export const SourceOp = message({ identifier: string(1), attrs: stringMap(2) })
export const Input = message({ digest: string(1), index: int(2) })
const Owner = message({ user: bytes(1), group: bytes(2) })
const FileActionCopy = message({
  src: string(1),
  dest: string(2),
  owner: nested(3, () => Owner),
  mode: int(4),
  dirCopyContents: bool(6),
  attemptUnpack: bool(7),
  includePatterns: strings(12),
  excludePatterns: strings(13),
})
export const FileAction = message({ input: int(1), secondaryInput: int(2), copy: nested(4, () => FileActionCopy) })
const FileOp = message({ actions: list(2, () => FileAction) })
export const Op = message({
  inputs: list(1, () => Input),
  source: nested(3, () => SourceOp),
  file: nested(4, () => FileOp),
})
export const OpMetadata = message({ ignoreCache: bool(1) })
/** `metadata` is by the digest of an operation. */
export const Definition = message({ def: bytesList(1), metadata: messageMap(2, () => OpMetadata) })
export const Position = message({ line: int(1), character: int(2) })
export const Range = message({ start: nested(1, () => Position), end: nested(2, () => Position) })
export const SourceInfo = message({ filename: string(1), data: bytes(2), language: string(4) })

// ── moby.buildkit.v1 (control.proto, worker.proto) ──
export const DiskUsageRequest = message({ filter: strings(1) })
export const PruneRequest = message({
  filter: strings(1),
  all: bool(2),
  keepDuration: int(3),
  reservedSpace: int(4),
  maxUsedSpace: int(5),
  minFreeSpace: int(6),
})
export const UsageRecord = message({
  ID: string(1),
  Mutable: bool(2),
  InUse: bool(3),
  Size: int(4),
  Parent: string(5),
  CreatedAt: nested(6, () => Timestamp),
  LastUsedAt: nested(7, () => Timestamp),
  UsageCount: int(8),
  Description: string(9),
  RecordType: string(10),
  Shared: bool(11),
  Parents: strings(12),
})
export const DiskUsageResponse = message({ record: list(1, () => UsageRecord) })
export const CacheOptionsEntry = message({ Type: string(1), Attrs: stringMap(2) })
export const CacheOptions = message({
  Exports: list(4, () => CacheOptionsEntry),
  Imports: list(5, () => CacheOptionsEntry),
})
export const Exporter = message({ Type: string(1), Attrs: stringMap(2) })
/** moby.buildkit.v1.sourcepolicy */
const PolicySelector = message({
  identifier: string(1),
  match_type: int(2),
  constraints: list(3, () => PolicyConstraint),
})
const PolicyConstraint = message({ key: string(1), value: string(2), condition: int(3) })
const PolicyUpdate = message({ identifier: string(1), attrs: stringMap(2) })
const PolicyRule = message({
  action: int(1),
  selector: nested(2, () => PolicySelector),
  updates: nested(3, () => PolicyUpdate),
})
export const SourcePolicy = message({ version: int(1), rules: list(2, () => PolicyRule) })
export const ControlSolveRequest = message({
  Ref: string(1),
  Definition: nested(2, () => Definition),
  ExporterDeprecated: string(3),
  ExporterAttrsDeprecated: stringMap(4),
  Session: string(5),
  Frontend: string(6),
  FrontendAttrs: stringMap(7),
  Cache: nested(8, () => CacheOptions),
  Entitlements: strings(9),
  FrontendInputs: messageMap(10, () => Definition),
  Internal: bool(11),
  SourcePolicy: nested(12, () => SourcePolicy),
  Exporters: list(13, () => Exporter),
  SourcePolicySession: string(15),
})
export const ControlSolveResponse = message({ ExporterResponse: stringMap(1) })
export const StatusRequest = message({ Ref: string(1) })
export const Vertex = message({
  digest: string(1),
  inputs: strings(2),
  name: string(3),
  cached: bool(4),
  started: nested(5, () => Timestamp),
  completed: nested(6, () => Timestamp),
  error: string(7),
})
export const VertexStatus = message({
  ID: string(1),
  vertex: string(2),
  name: string(3),
  current: int(4),
  total: int(5),
  timestamp: nested(6, () => Timestamp),
  started: nested(7, () => Timestamp),
  completed: nested(8, () => Timestamp),
})
export const VertexLog = message({
  vertex: string(1),
  timestamp: nested(2, () => Timestamp),
  stream: int(3),
  msg: bytes(4),
})
export const VertexWarning = message({
  vertex: string(1),
  level: int(2),
  short: bytes(3),
  detail: bytesList(4),
  url: string(5),
  info: nested(6, () => SourceInfo),
  ranges: list(7, () => Range),
})
export const StatusResponse = message({
  vertexes: list(1, () => Vertex),
  statuses: list(2, () => VertexStatus),
  logs: list(3, () => VertexLog),
  warnings: list(4, () => VertexWarning),
})
export const BuildkitVersion = message({ package: string(1), version: string(2), revision: string(3) })
export const GCPolicy = message({
  all: bool(1),
  keepDuration: int(2),
  reservedSpace: int(3),
  filters: strings(4),
  maxUsedSpace: int(5),
  minFreeSpace: int(6),
})
const CdiDevice = message({ Name: string(1), AutoAllow: bool(2), Annotations: stringMap(3), OnDemand: bool(4) })
export const WorkerRecord = message({
  ID: string(1),
  Labels: stringMap(2),
  platforms: list(3, () => Platform),
  GCPolicy: list(4, () => GCPolicy),
  BuildkitVersion: nested(5, () => BuildkitVersion),
  CDIDevices: list(6, () => CdiDevice),
})
export const ListWorkersResponse = message({ record: list(1, () => WorkerRecord) })
export const InfoResponse = message({ buildkitVersion: nested(1, () => BuildkitVersion) })
export const BuildHistoryRequest = message({
  ActiveOnly: bool(1),
  Ref: string(2),
  EarlyExit: bool(3),
  Filter: strings(4),
  Limit: int(5),
})
export const Descriptor = message({ mediaType: string(1), digest: string(2), size: int(3), annotations: stringMap(5) })
export const BuildResultInfo = message({ Attestations: list(2, () => Descriptor) })
export const BuildHistoryRecord = message({
  Ref: string(1),
  Frontend: string(2),
  FrontendAttrs: stringMap(3),
  Exporters: list(4, () => Exporter),
  error: nested(5, () => Status),
  CreatedAt: nested(6, () => Timestamp),
  CompletedAt: nested(7, () => Timestamp),
  ExporterResponse: stringMap(9),
  Result: nested(10, () => BuildResultInfo),
  Results: messageMap(11, () => BuildResultInfo),
  Generation: int(12),
  pinned: bool(14),
  numCachedSteps: int(15),
  numTotalSteps: int(16),
  numCompletedSteps: int(17),
  externalError: nested(18, () => Descriptor),
  numWarnings: int(19),
})
export const historyEvents = { started: 0, completed: 1, deleted: 2 } as const
export const BuildHistoryEvent = message({ type: int(1), record: nested(2, () => BuildHistoryRecord) })
export const UpdateBuildHistoryRequest = message({
  Ref: string(1),
  Pinned: bool(2),
  Delete: bool(3),
  Finalize: bool(4),
})

// ── moby.buildkit.v1.frontend (gateway.proto) ──
export const Ref = message({ id: string(1), def: nested(2, () => Definition) })
export const RefMap = message({ refs: messageMap(1, () => Ref) })
export const Result = message({
  refDeprecated: string(1),
  ref: nested(3, () => Ref),
  refs: nested(4, () => RefMap),
  metadata: bytesMap(10),
})
export const ReturnRequest = message({ result: nested(1, () => Result), error: nested(2, () => Status) })
export const InputsResponse = message({ Definitions: messageMap(1, () => Definition) })
export const ResolveImageConfigRequest = message({
  Ref: string(1),
  Platform: nested(2, () => Platform),
  ResolveMode: string(3),
  LogName: string(4),
})
export const ResolveImageConfigResponse = message({ Digest: string(1), Config: bytes(2), Ref: string(3) })
export const BridgeSolveRequest = message({
  Definition: nested(1, () => Definition),
  Frontend: string(2),
  FrontendOpt: stringMap(3),
  allowResultReturn: bool(5),
  CacheImports: list(12, () => CacheOptionsEntry),
  FrontendInputs: messageMap(13, () => Definition),
  Evaluate: bool(14),
})
export const BridgeSolveResponse = message({ ref: string(1), result: nested(3, () => Result) })
export const FileRange = message({ Offset: int(1), Length: int(2) })
export const ReadFileRequest = message({ Ref: string(1), FilePath: string(2), Range: nested(3, () => FileRange) })
export const ReadFileResponse = message({ Data: bytes(1) })
export const ReadDirRequest = message({ Ref: string(1), DirPath: string(2), IncludePattern: string(3) })
export const ReadDirResponse = message({ entries: list(1, () => Stat) })
export const StatFileRequest = message({ Ref: string(1), Path: string(2) })
export const StatFileResponse = message({ stat: nested(1, () => Stat) })
export const EvaluateRequest = message({ Ref: string(1) })
/** moby.buildkit.v1.apicaps.APICap */
export const APICap = message({ ID: string(1), Enabled: bool(2) })
export const PongResponse = message({
  FrontendAPICaps: list(1, () => APICap),
  LLBCaps: list(2, () => APICap),
  Workers: list(3, () => WorkerRecord),
})
export const WarnRequest = message({
  digest: string(1),
  level: int(2),
  short: bytes(3),
  detail: bytesList(4),
  url: string(5),
  info: nested(6, () => SourceInfo),
  ranges: list(7, () => Range),
})

// ── what the client serves on its session ──
/** moby.filesync.v1, moby.sshforward.v1 and moby.upload.v1 have one each, all alike. */
export const BytesMessage = message({ data: bytes(1) })
export const Stat = message({
  path: name(1),
  mode: int(2),
  uid: int(3),
  gid: int(4),
  size: int(5),
  /** ns since 1970 */
  modTime: bigint(6),
  linkname: name(7),
  devmajor: int(8),
  devminor: int(9),
  xattrs: bytesMap(10),
})
export type Stat = Decoded<typeof Stat>
export const packetTypes = { stat: 0, request: 1, data: 2, fin: 3, error: 4 } as const
export const Packet = message({ type: int(1), stat: nested(2, () => Stat), ID: int(3), data: bytes(4) })
export const CredentialsRequest = message({ Host: string(1) })
export const CredentialsResponse = message({ Username: string(1), Secret: string(2) })
export const GetSecretRequest = message({ ID: string(1) })
export const GetSecretResponse = message({ data: bytes(1) })
export const CheckAgentRequest = message({ ID: string(1) })

// ── containerd.services.content.v1 (api/services/content/v1/content.proto) ──
export const ContentInfoRequest = message({ digest: string(1) })
export const ContentInfo = message({ digest: string(1), size: int(2) })
export const ContentInfoResponse = message({ info: nested(1, () => ContentInfo) })
export const ReadContentRequest = message({ digest: string(1), offset: int(2), size: int(3) })
export const ReadContentResponse = message({ offset: int(1), data: bytes(2) })
export const writeActions = { stat: 0, write: 1, commit: 2 } as const
export const WriteContentRequest = message({
  action: int(1),
  ref: string(2),
  total: int(3),
  expected: string(4),
  offset: int(5),
  data: bytes(6),
})
export const WriteContentResponse = message({ action: int(1), offset: int(4), total: int(5), digest: string(6) })

// ── grpc.health.v1 ──
export const HealthCheckRequest = message({ service: string(1) })
/** 1: serving */
export const HealthCheckResponse = message({ status: int(1) })
