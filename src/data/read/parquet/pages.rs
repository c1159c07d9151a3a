//! Pages of columns whose compression the parquet crate reads only with the C library (zstd) or with a compressor that nobody here
//! needs (brotli): taken from the file as they are, and unpacked here.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

/// A file that the crate's reader and this one share.
pub(super) struct Chunks<R>(Arc<R>);

impl<R> Chunks<R> {
    pub(super) fn new(file: R) -> Self {
        Chunks(Arc::new(file))
    }
}

impl<R> Clone for Chunks<R> {
    fn clone(&self) -> Self {
        Chunks(self.0.clone())
    }
}

impl<R: Length> Length for Chunks<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Chunks<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> Result<R::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Opens the pages of a column chunk.
pub(super) trait OpenPages: Send + Sync {
    /// The pages, unpacked here; none where the crate unpacks them itself.
    fn open(&self, chunk: &ColumnChunkMetaData, rows: i64) -> Result<Option<Box<dyn PageReader>>>;
}

impl<R: ChunkReader + 'static> OpenPages for Chunks<R> {
    fn open(&self, chunk: &ColumnChunkMetaData, rows: i64) -> Result<Option<Box<dyn PageReader>>> {
        let codec = match chunk.compression() {
            Compression::ZSTD(_) => Codec::Zstd,
            Compression::BROTLI(_) => Codec::Brotli,
            _ => return Ok(None),
        };
        // To the crate the pages are not compressed, so it hands them over as they are.
        let plain = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let rows = usize::try_from(rows).unwrap_or(0);
        let pages = SerializedPageReader::new(self.0.clone(), &plain, rows, None)?;
        let most = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
        Ok(Some(Box::new(Unpacked { pages, codec, most })))
    }
}

#[derive(Clone, Copy)]
enum Codec {
    Zstd,
    Brotli,
}

impl Codec {
    /// Unpacks a whole page after `head`, which is kept as it is. Pages of more than `most` bytes are no part of this chunk.
    fn unpack(self, head: &[u8], packed: &[u8], most: u64) -> Result<Bytes> {
        let mut bytes = head.to_vec();
        // A page of nulls alone has nothing to unpack.
        if packed.is_empty() {
            return Ok(bytes.into());
        }
        let read = match self {
            Codec::Zstd => ruzstd::decoding::StreamingDecoder::new(packed)
                .map_err(|error| ParquetError::General(format!("damaged zstd data ({error})")))?
                .take(most + 1)
                .read_to_end(&mut bytes),
            Codec::Brotli => {
                brotli_decompressor::Decompressor::new(packed, 4096).take(most + 1).read_to_end(&mut bytes)
            }
        };
        read.map_err(|error| ParquetError::General(format!("a page cannot be unpacked ({error})")))?;
        if bytes.len() as u64 > most {
            return Err(ParquetError::General("a page is larger than its column".into()));
        }
        Ok(bytes.into())
    }
}

struct Unpacked<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    codec: Codec,
    most: u64,
}

impl<R: ChunkReader> Unpacked<R> {
    fn unpacked(&self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = self.codec.unpack(&[], buf, self.most)?;
            }
            // Levels stand before the values and are never compressed.
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, .. } => {
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                if *is_compressed {
                    let (head, packed) = buf
                        .split_at_checked(levels)
                        .ok_or_else(|| ParquetError::General("a page is shorter than its levels".into()))?;
                    *buf = self.codec.unpack(head, packed, self.most)?;
                    *is_compressed = false;
                }
            }
        }
        Ok(page)
    }
}

impl<R: ChunkReader> Iterator for Unpacked<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Unpacked<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.unpacked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}
