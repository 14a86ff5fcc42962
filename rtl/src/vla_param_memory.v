// Parameter memory: records, tables and masks, in words of 8*B bytes; three read clients, one write port.
// Does: grant the first of the read clients (MAC, VEC, WLOAD) that asks; write one 64-byte line of a word.
// Does not: order a read and a write of the same word in the same cycle (the read gives the old bytes), or
// clear its words.
// Latency: the word of the granted client is on rd_data_o in the next cycle, until the next grant; a write
// is in the memory after its clock edge.
// Handshake: grant is combinational from valid; a client that is not granted holds its request.
`default_nettype none
module vla_param_memory #(
  parameter Block      = 16,   // B; a word is 8*B bytes
  parameter ParamWords = 2048  // words
) (
  input  wire                             clk_i,
  input  wire                             rst_i,
  input  wire [2:0]                       rd_valid_i,
  input  wire [3*$clog2(ParamWords)-1:0]  rd_addr_i,
  output wire [2:0]                       rd_grant_o,
  output wire [64*Block-1:0]              rd_data_o,
  input  wire                             wr_en_i,
  input  wire [$clog2(ParamWords)-1:0]    wr_addr_i,
  input  wire                             wr_line_i,  // which 64-byte line of the word; 0 when Block = 8
  input  wire [511:0]                     wr_data_i
);

  localparam Lines   = Block / 8;
  localparam ParamAw = $clog2(ParamWords);

  assign rd_grant_o = {rd_valid_i[2] && rd_valid_i[1:0] == 2'b00, rd_valid_i[1] && !rd_valid_i[0], rd_valid_i[0]};

  wire [ParamAw-1:0] rd_addr = rd_valid_i[0] ? rd_addr_i[0 +: ParamAw]
                             : rd_valid_i[1] ? rd_addr_i[ParamAw +: ParamAw]
                             :                 rd_addr_i[2*ParamAw +: ParamAw];

  genvar l;
  generate
    for (l = 0; l < Lines; l = l + 1) begin : g_line
      vla_ram_1r1w #(.Width(512), .Words(ParamWords)) u_ram (
        .clk_i(clk_i),
        .wr_en_i(wr_en_i && wr_line_i == l), .wr_addr_i(wr_addr_i), .wr_data_i(wr_data_i),
        .rd_en_i(rd_valid_i != 3'b000), .rd_addr_i(rd_addr), .rd_data_o(rd_data_o[l*512 +: 512])
      );
    end

    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

  wire unused_rst = rst_i;

endmodule
`default_nettype wire
