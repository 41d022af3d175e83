/// What is known about a tensor before it is computed. `constant` holds its elements where they are known.
public struct ValueInfo: Sendable {
  public var type: DataType
  public var shape: [Int]
  public var constant: Tensor?

  public init(type: DataType, shape: [Int], constant: Tensor? = nil) {
    self.type = type
    self.shape = shape
    self.constant = constant
  }
}
