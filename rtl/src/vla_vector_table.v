// The last stage before writing: the 256-byte table of a VEC packet, and the channels that only pad POOL's last block.
// Does: load the table from the parameter memory at the start of a packet that has one; look up every
// byte of two words per cycle, or pass them on unchanged; write `fill` where a lane is not live.
// Does not: keep a table for the next packet (the parameter memory may have changed), stall.
// Latency: look-up 1 cycle; loading about 24 cycles, ready_o says when done.
`default_nettype none
module vla_vector_table #(
  parameter Block     = 16,  // bytes of a word
  parameter ParamAw   = 11,  // address bits of the parameter memory
  parameter ParamBits = 1024
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 start_i,
  // constant while a packet runs
  input  wire                 enable_i,
  input  wire [ParamAw-1:0]   base_i,
  output wire                 ready_o,
  // parameter memory
  output wire                 param_rd_valid_o,
  output wire [ParamAw-1:0]   param_rd_addr_o,
  input  wire                 param_rd_grant_i,
  input  wire [ParamBits-1:0] param_rd_data_i,
  // look-up
  input  wire                 en_i,
  input  wire [2*Block-1:0]   live_i,
  input  wire [7:0]           fill_i,
  input  wire [16*Block-1:0]  words_i,
  output wire [16*Block-1:0]  words_o
);

  localparam       WordCount = 2048 / ParamBits;  // parameter words of a table
  localparam [2:0] Words     = WordCount[2:0];

  reg [2:0]         left_q;    // words not requested yet
  reg [ParamAw-1:0] addr_q;
  reg               arrive_q;  // a word is on param_rd_data_i
  reg               first_q;   // which is the first
  wire              busy, unused_valid;
  wire              granted = param_rd_valid_o && param_rd_grant_i;

  assign ready_o          = left_q == 3'd0 && !arrive_q && !busy;
  assign param_rd_valid_o = left_q != 3'd0 && !arrive_q && !busy;
  assign param_rd_addr_o  = addr_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      left_q   <= 3'd0;
      arrive_q <= 1'b0;
    end else begin
      if (start_i) left_q <= enable_i ? Words : 3'd0;
      else if (granted) left_q <= left_q - 3'd1;
      arrive_q <= granted;
    end
  end

  always @(posedge clk_i) begin
    if (start_i) addr_q <= base_i;
    else if (granted) addr_q <= addr_q + 1'b1;
    first_q <= left_q == Words;
  end

  wire [16*Block-1:0] found;
  vla_table #(.Lanes(2*Block), .ParamBits(ParamBits)) u_table (
    .clk_i(clk_i), .rst_i(rst_i), .enable_i(enable_i),
    .word_valid_i(arrive_q), .word_first_i(first_q), .word_i(param_rd_data_i), .busy_o(busy),
    .valid_i(en_i), .q_i(words_i), .valid_o(unused_valid), .q_o(found)
  );

  genvar i;
  generate
    for (i = 0; i < 2 * Block; i = i + 1) begin : g_byte
      reg live_q;
      always @(posedge clk_i) begin
        if (en_i) live_q <= live_i[i];
      end
      assign words_o[8*i +: 8] = live_q ? found[8*i +: 8] : fill_i;
    end
  endgenerate

endmodule
`default_nettype wire
