// Weight scratchpad: words of B x B weights, one read port for the whole word, one write port per 32-byte
// column of the word, each with its own address.
// Does: let every weight master write its own columns at its own pace.
// Does not: order a read and a write of the same word in the same cycle (the read gives the old bytes), or
// clear its words.
// Latency: the word read at a clock edge is on rd_data_o after it, until the next read; writes are in the
// memory after their clock edge. No handshake: every request is served.
`default_nettype none
module vla_weight_memory #(
  parameter Block       = 16,   // B; a word is B x B bytes
  parameter WeightWords = 8192  // words
) (
  input  wire                                             clk_i,
  input  wire                                             rst_i,
  input  wire                                             rd_en_i,
  input  wire [$clog2(WeightWords)-1:0]                   rd_addr_i,
  output wire [8*Block*Block-1:0]                         rd_data_o,
  input  wire [Block*Block/32-1:0]                        wr_en_i,
  input  wire [(Block*Block/32)*$clog2(WeightWords)-1:0]  wr_addr_i,
  input  wire [(Block*Block/32)*256-1:0]                  wr_data_i
);

  localparam Columns  = Block * Block / 32;
  localparam WeightAw = $clog2(WeightWords);

  genvar c;
  generate
    for (c = 0; c < Columns; c = c + 1) begin : g_column
      vla_ram_1r1w #(.Width(256), .Words(WeightWords)) u_ram (
        .clk_i(clk_i),
        .wr_en_i(wr_en_i[c]), .wr_addr_i(wr_addr_i[c*WeightAw +: WeightAw]),
        .wr_data_i(wr_data_i[c*256 +: 256]),
        .rd_en_i(rd_en_i), .rd_addr_i(rd_addr_i), .rd_data_o(rd_data_o[c*256 +: 256])
      );
    end

    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

  wire unused_rst = rst_i;

endmodule
`default_nettype wire
