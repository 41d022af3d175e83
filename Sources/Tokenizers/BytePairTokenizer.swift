import Support

/// A byte-level byte-pair tokenizer: any text to ids, whatever its script.
public protocol BytePairTokenizer: Sendable {
  /// `model_max_length` of the configuration, else the family's: 77 (CLIP), 1024 (GPT-2).
  var maximumLength: Int { get }
  /// The ids of a text, however long, with what the family puts around it.
  func encode(_ text: String) -> [Int]
}

/// Opens a tokenizer folder of either family; a vocabulary whose words end in `</w>` is CLIP's.
public func bytePairTokenizer(folder: String) throws(Failure) -> any BytePairTokenizer {
  let files = try TokenizerFiles(folder: folder)
  return files.endOfWord.isEmpty ? try GPT2Tokenizer(files: files) : try CLIPTokenizer(files: files)
}
